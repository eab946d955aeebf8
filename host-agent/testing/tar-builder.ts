export interface TarEntry {
  name: string;
  /** `0` file, `1` hard link, `2` link, `3` `4` devices, `5` folder, `6` FIFO, `x` `g` pax, `L` `K` GNU names. */
  type?: string;
  body?: string | Buffer;
  linkName?: string;
  mode?: number;
  /** What the header claims, where it should lie. */
  sizeBytes?: number;
  /** Overrides bytes of the finished header, before its checksum is made. */
  patch?: (header: Buffer) => void;
  wrongChecksum?: boolean;
}

const BLOCK = 512;

/** Archives byte by byte, since no library writes hostile ones. */
export function tarOf(entries: TarEntry[], { withEnd = true }: { withEnd?: boolean } = {}): Buffer {
  const blocks = entries.flatMap((entry) => {
    const body = Buffer.from(entry.body ?? '');
    return [header(entry, body.length), body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat(withEnd ? [...blocks, Buffer.alloc(2 * BLOCK)] : blocks);
}

/** A pax header for the entry after it. */
export function paxOf(records: Record<string, string>, type: 'x' | 'g' = 'x'): TarEntry {
  const body = Object.entries(records).map(([key, value]) => paxRecord(`${key}=${value}\n`));
  return { name: 'pax', type, body: body.join('') };
}

function paxRecord(text: string): string {
  const bytes = Buffer.byteLength(text) + 1;
  let length = bytes + String(bytes).length;
  if (String(length).length !== String(bytes).length) length = bytes + String(length).length;
  return `${length} ${text}`;
}

function header({ name, type = '0', linkName = '', mode = 0o644, ...entry }: TarEntry, bodyBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100);
  block.write(octal(mode, 8), 100, 8, 'latin1');
  block.write(octal(0, 8), 108, 8, 'latin1');
  block.write(octal(0, 8), 116, 8, 'latin1');
  block.write(octal(entry.sizeBytes ?? bodyBytes, 12), 124, 12, 'latin1');
  block.write(octal(0, 12), 136, 12, 'latin1');
  block.write(type, 156, 1, 'latin1');
  block.write(linkName, 157, 100);
  block.write('ustar\x0000', 257, 8, 'latin1');
  entry.patch?.(block);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0) + (entry.wrongChecksum ? 1 : 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return block;
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}
