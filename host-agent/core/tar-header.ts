import { hostError } from '../errors.ts';

export const BLOCK_BYTES = 512;

export interface TarHeader {
  name: string;
  linkName: string;
  /** The type flag; old archives write NUL for a regular file, given here as `0`. */
  type: string;
  sizeBytes: number;
  isExecutable: boolean;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

export function decodeName(bytes: Buffer): string {
  // nearly every name, and at a fraction of the decoder's cost
  if (isAscii(bytes)) return bytes.toString('latin1');
  try {
    return utf8.decode(bytes);
  } catch {
    throw hostError.badEntry(bytes.toString('latin1'), 'has a name that is not UTF-8');
  }
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte >= 0x80) return false;
  return true;
}

export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

export function parseTarHeader(block: Buffer): TarHeader {
  if (readOctal(block, 148, 8) !== checksum(block)) {
    throw hostError.badArchive('has a header with a wrong checksum: it is damaged or not a tar archive');
  }
  const shortName = decodeName(untilNul(block, 0, 100));
  // only POSIX "ustar\0" has a prefix there; GNU's "ustar  " keeps times in those bytes
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? decodeName(untilNul(block, 345, 155)) : '';
  const name = prefix === '' ? shortName : `${prefix}/${shortName}`;
  const sizeBytes = readSize(block, 124, 12);
  if (sizeBytes === undefined) throw hostError.badEntry(name, 'has an invalid size');
  const flag = String.fromCharCode(block[156] ?? 0);
  return {
    name,
    linkName: decodeName(untilNul(block, 157, 100)),
    type: flag === '\0' || flag === '7' ? '0' : flag,
    sizeBytes,
    isExecutable: ((readOctal(block, 100, 8) ?? 0) & 0o111) !== 0,
  };
}

/** The sum of all bytes, the checksum field itself taken as blanks. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}

function untilNul(block: Buffer, start: number, length: number): Buffer {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return end === -1 ? field : field.subarray(0, end);
}

const [BLANK, ZERO, SEVEN] = [0x20, 0x30, 0x37];

/** Digits between blanks, up to a NUL; nothing at all is 0. By hand: this is done three times for each entry. */
function readOctal(block: Buffer, start: number, length: number): number | undefined {
  let at = start;
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  while (at < end && block[at] === BLANK) at++;
  while (end > at && block[end - 1] === BLANK) end--;
  let value = 0;
  for (; at < end; at++) {
    const digit = block[at] ?? 0;
    if (digit < ZERO || digit > SEVEN) return undefined;
    value = value * 8 + digit - ZERO;
  }
  return value;
}

/** Octal, or, with the first bit set, big-endian binary (GNU's way above 8 GiB). */
function readSize(block: Buffer, start: number, length: number): number | undefined {
  const first = block[start] ?? 0;
  if ((first & 0x80) === 0) return readOctal(block, start, length);
  if (first !== 0x80) return undefined;
  let value = 0;
  for (let index = start + 1; index < start + length; index++) value = value * 256 + (block[index] ?? 0);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The records of a pax extended header: `<length> <key>=<value>\n`. */
export function parsePaxRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  let position = 0;
  while (position < data.length) {
    const space = data.indexOf(0x20, position);
    const length = space === -1 ? Number.NaN : Number(data.toString('latin1', position, space));
    const end = position + length;
    if (!Number.isInteger(length) || end > data.length || end <= space || data[end - 1] !== 0x0a) {
      throw hostError.badArchive('has a damaged pax header');
    }
    const equals = data.indexOf(0x3d, space);
    if (equals === -1 || equals >= end) throw hostError.badArchive('has a damaged pax header');
    const key = data.toString('latin1', space + 1, equals);
    // only these values are read, and only these must be text
    const isText = key === 'path' || key === 'linkpath';
    const value = data.subarray(equals + 1, end - 1);
    records.set(key, isText ? decodeName(value) : value.toString('latin1'));
    position = end;
  }
  return records;
}
