import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { TarEntry } from '@warmpool/host-agent/testing/tar-builder.ts';
import { paxOf, tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { zipOf } from '@warmpool/host-agent/testing/zip-builder.ts';
import { seededRandom } from '../apiserver/seeded-random.ts';

export const FUZZED_FORMATS = ['tar', 'tar.gz', 'tar.zst', 'zip', 'zip over ranges'] as const;
export type FuzzedFormat = (typeof FUZZED_FORMATS)[number];

export interface ArchiveCase {
  format: FuzzedFormat;
  bytes: Buffer;
  chunkBytes: number;
  /** For a zip over ranges. */
  tailBytes: number;
}

const BLOCK = 512;
const HOSTILE_NAMES = [
  ...[
    '..',
    '../evil',
    'a/../../evil',
    '/etc/evil',
    './/a',
    'a//b',
    'a/./b',
    '',
    '.',
    './',
    'a/',
    'C:\\evil',
    '..\\evil',
  ],
  ...['a\0b', 'é', '\ud800', 'x'.repeat(99), 'x'.repeat(256), 'd/'.repeat(120) + 'f', 'con', 'a\nb', '-rf', '~', ' '],
];
const HOSTILE_TARGETS = ['..', '../..', '/etc/passwd', 'a', 'a/..', './a', '../a/../..', '', 'loop', 'b/../../x'];
const TAR_TYPES = ['0', '0', '0', '0', '1', '2', '5', '3', '4', '6', '7', 'S', 'x', 'g', 'L', 'K', 'V', '\0', 'z'];
const SIZES = [0, 1, 511, 512, 513, 65_536, 2 ** 31, 2 ** 32, 2 ** 33 - 1, 2 ** 53];

/** The case of a seed and a number: always the same. */
export function archiveCase(seed: number, index: number, formats: readonly FuzzedFormat[]): ArchiveCase {
  const random = new Choices((Math.imul(seed, 0x9e3779b1) ^ index) >>> 0);
  const format = random.of(formats);
  const plain = random.chance(0.2);
  const bytes = plain ? pack(format, random, false) : damaged(pack(format, random, random.chance(0.6)), random, format);
  const chunkBytes = random.chance(0.5) ? 1 + random.below(700) : 64 * 1024;
  return { format, bytes, chunkBytes, tailBytes: random.chance(0.5) ? random.below(bytes.length + 1) : 4096 };
}

class Choices {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }
}

function pack(format: FuzzedFormat, random: Choices, isHostile: boolean): Buffer {
  if (format === 'zip' || format === 'zip over ranges') return zip(random, isHostile);
  const tar = tarOf(tarEntries(random, isHostile), { withEnd: !isHostile || random.chance(0.9) });
  // damage below the compression, of which the decompressor sees nothing
  const inner = isHostile && random.chance(0.5) ? withChecksums(flipped(tar, random)) : tar;
  if (format === 'tar') return inner;
  const compress = format === 'tar.gz' ? gzipSync : zstdCompressSync;
  if (random.chance(0.7)) return compress(inner);
  const cut = random.below(inner.length + 1);
  return Buffer.concat([compress(inner.subarray(0, cut)), compress(inner.subarray(cut))]);
}

function name(random: Choices, isHostile: boolean): string {
  if (isHostile && random.chance(0.3)) return random.of(HOSTILE_NAMES);
  return Array.from({ length: 1 + random.below(3) }, () =>
    random.of(['a', 'b', 'loop', 'index.js', 'ü', 'long'.repeat(20)]),
  )
    .concat(String(random.below(30)))
    .join('/');
}

function body(random: Choices): Buffer {
  const size = random.chance(0.1) ? 150_000 : random.below(1500);
  return random.chance(0.5)
    ? Buffer.alloc(size, 'abc')
    : Buffer.from(Array.from({ length: Math.min(size, 2000) }, () => random.below(256)));
}

function tarEntries(random: Choices, isHostile: boolean): TarEntry[] {
  return Array.from({ length: random.below(8) }, () => {
    const type = isHostile ? random.of(TAR_TYPES) : random.of(['0', '0', '0', '5', '2']);
    const entry: TarEntry = { name: name(random, isHostile), type, mode: random.of([0o644, 0o755, 0o4755, 0, 0o777]) };
    if (type === '1' || type === '2')
      entry.linkName = random.chance(0.5) ? random.of(HOSTILE_TARGETS) : name(random, false);
    else if (type === 'x' || type === 'g') entry.body = paxBody(random);
    else if (type !== '5') entry.body = body(random);
    if (isHostile && random.chance(0.1)) entry.sizeBytes = random.of(SIZES);
    return entry;
  });
}

function paxBody(random: Choices): Buffer {
  const records = {
    [random.of(['path', 'linkpath', 'size', 'GNU.sparse.major', 'comment', 'mtime'])]: random.chance(0.5)
      ? random.of(HOSTILE_NAMES)
      : String(random.of(SIZES)),
  };
  return Buffer.from(paxOf(records).body ?? '');
}

function zip(random: Choices, isHostile: boolean): Buffer {
  return zipOf(
    Array.from({ length: random.below(8) }, () => {
      const isLink = random.chance(0.1);
      return {
        name: name(random, isHostile),
        body: isLink ? random.of(HOSTILE_TARGETS) : body(random),
        stored: random.chance(0.3),
        dataDescriptor: random.chance(0.3),
        zip64: random.chance(0.2),
        ...(random.chance(0.8) && { mode: isLink ? 0o120777 : random.of([0o100644, 0o100755, 0o040755, 0o010644, 0]) }),
        ...(isHostile && random.chance(0.1) && { method: random.below(100) }),
        ...(isHostile && random.chance(0.1) && { flags: random.below(65_536) }),
        ...(isHostile && random.chance(0.1) && { uncompressedBytes: random.below(2 ** 31) }),
        ...(isHostile && random.chance(0.1) && { crc: random.below(2 ** 31) }),
      };
    }),
  );
}

function damaged(bytes: Buffer, random: Choices, format: FuzzedFormat): Buffer {
  switch (random.below(6)) {
    case 0:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 1:
      return Buffer.concat([bytes, Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)))]);
    case 2: {
      // a piece of it once more, somewhere else
      const [from, to] = [random.below(bytes.length + 1), random.below(bytes.length + 1)];
      return Buffer.concat([
        bytes.subarray(0, to),
        bytes.subarray(from, from + random.below(2000)),
        bytes.subarray(to),
      ]);
    }
    case 3:
      return bytes;
    default:
      return format === 'tar' ? withChecksums(flipped(bytes, random)) : flipped(bytes, random);
  }
}

/** Some bytes changed, to values that mean something more often than not. */
function flipped(bytes: Buffer, random: Choices): Buffer {
  const changed = Buffer.from(bytes);
  for (let left = 1 + random.below(6); left > 0 && changed.length > 0; left--) {
    changed[random.below(changed.length)] = random.chance(0.5)
      ? random.below(256)
      : random.of([0, 0x2e, 0x2f, 0x30, 0x35, 0x37, 0x7f, 0x80, 0xff]);
  }
  return changed;
}

/** Tar headers whose checksum is wrong are refused without a look at the rest: here it is made right wherever a header may be. */
function withChecksums(tar: Buffer): Buffer {
  for (let start = 0; start + BLOCK <= tar.length; start += BLOCK) {
    const block = tar.subarray(start, start + BLOCK);
    if (!block.subarray(257, 262).equals(Buffer.from('ustar'))) continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  }
  return tar;
}
