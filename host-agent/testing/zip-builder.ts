import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  name: string;
  body?: string | Buffer;
  stored?: boolean;
  /** Unix mode with its type bits; without one the entry says nothing about modes. */
  mode?: number;
  /** Those of an entry without a Unix mode. */
  dosAttributes?: number;
  flags?: number;
  method?: number;
  /** What the directory claims, where it should lie. */
  uncompressedBytes?: number;
  crc?: number;
  /** Sizes after the data instead of before it. */
  dataDescriptor?: boolean;
  /** Sizes and offset in the zip64 field. */
  zip64?: boolean;
}

const ZIP64_MARK = 0xffffffff;

export function zipOf(entries: ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const { local, central } = records(entry, offset);
    parts.push(local);
    directory.push(central);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

function records(entry: ZipEntry, offset: number): { local: Buffer; central: Buffer } {
  const name = Buffer.from(entry.name);
  const body = Buffer.from(entry.body ?? '');
  const data = entry.stored ? body : deflateRawSync(body);
  const method = entry.method ?? (entry.stored ? 0 : 8);
  const flags = (entry.flags ?? 0) | 0x800 | (entry.dataDescriptor ? 8 : 0);
  const crc = entry.crc ?? crc32(body);
  const size = entry.uncompressedBytes ?? body.length;

  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(20, 4);
  local.writeUInt16LE(flags, 6);
  local.writeUInt16LE(method, 8);
  if (!entry.dataDescriptor) {
    local.writeUInt32LE(crc, 14);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(size, 22);
  }
  local.writeUInt16LE(name.length, 26);
  const descriptor = Buffer.alloc(entry.dataDescriptor ? 16 : 0);
  if (entry.dataDescriptor) {
    descriptor.writeUInt32LE(0x08074b50, 0);
    descriptor.writeUInt32LE(crc, 4);
    descriptor.writeUInt32LE(data.length, 8);
    descriptor.writeUInt32LE(size, 12);
  }

  const extra = Buffer.alloc(entry.zip64 ? 28 : 0);
  if (entry.zip64) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(24, 2);
    extra.writeBigUInt64LE(BigInt(size), 4);
    extra.writeBigUInt64LE(BigInt(data.length), 12);
    extra.writeBigUInt64LE(BigInt(offset), 20);
  }
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  central.writeUInt16LE(entry.mode === undefined ? 20 : (3 << 8) | 20, 4);
  central.writeUInt16LE(20, 6);
  central.writeUInt16LE(flags, 8);
  central.writeUInt16LE(method, 10);
  central.writeUInt32LE(crc, 16);
  central.writeUInt32LE(entry.zip64 ? ZIP64_MARK : data.length, 20);
  central.writeUInt32LE(entry.zip64 ? ZIP64_MARK : size, 24);
  central.writeUInt16LE(name.length, 28);
  central.writeUInt16LE(extra.length, 30);
  central.writeUInt32LE((((entry.mode ?? 0) << 16) | (entry.dosAttributes ?? 0)) >>> 0, 38);
  central.writeUInt32LE(entry.zip64 ? ZIP64_MARK : offset, 42);
  return {
    local: Buffer.concat([local, name, data, descriptor]),
    central: Buffer.concat([central, name, extra]),
  };
}
