import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { TarEntry } from '../testing/tar-builder.ts';
import { paxOf, tarOf } from '../testing/tar-builder.ts';
import type { Unpacked } from '../testing/unpacking.ts';
import { unpackHere } from '../testing/unpacking.ts';

const file = (name: string, body = 'x'): TarEntry => ({ name, body });
const longName = `${'folder/'.repeat(30)}index.js`;

function expectRefused(unpacked: Unpacked, code: string, words: RegExp): void {
  expect(unpacked.error).toMatchObject({ code, message: expect.stringMatching(words) as string });
  expect(unpacked.strays).toEqual([]);
}

describe('a tar archive', () => {
  test('becomes a read-only tree with its executables and links', async () => {
    const { tree, result } = await unpackHere(
      tarOf([
        { name: './', type: '5', mode: 0o755 },
        file('index.js', 'hello'),
        { name: 'bin/', type: '5' },
        { name: 'bin/run', body: '#!', mode: 0o4755 },
        { name: 'node_modules/.bin/run', type: '2', linkName: '../../bin/run' },
        { name: 'copy.js', type: '1', linkName: 'index.js' },
        file('empty', ''),
      ]),
      'tar',
    );
    expect(tree).toEqual({
      bin: 'folder',
      'bin/run': 'exec:#!',
      'copy.js': 'file:hello',
      empty: 'file:',
      'index.js': 'file:hello',
      node_modules: 'folder',
      'node_modules/.bin': 'folder',
      'node_modules/.bin/run': 'link:../../bin/run',
    });
    expect(result?.contentBytes).toBe(7);
  });

  test.each([
    ['a pax header', [paxOf({ path: longName }), file('short')]],
    ['a GNU header', [{ name: '././@LongLink', type: 'L', body: `${longName}\0` }, file('short')]],
    [
      'the ustar prefix',
      [{ name: 'index.js', body: 'x', patch: (h: Buffer) => h.write('folder/'.repeat(20) + 'f', 345) }],
    ],
  ])('may have long names by %s', async (_way, entries) => {
    const { tree, error } = await unpackHere(tarOf(entries), 'tar');
    expect(error).toBeUndefined();
    expect(Object.keys(tree).at(-1)).toMatch(/^(folder\/){20,}.*index\.js$/);
  });

  test('is read the same whatever pieces it arrives in', async () => {
    const bytes = tarOf([paxOf({ path: longName }), file('short', 'y'.repeat(1500)), file('b', 'z')]);
    const whole = await unpackHere(bytes, 'tar');
    for (const chunkBytes of [1, 7, 511, 513]) {
      expect((await unpackHere(bytes, 'tar', { chunkBytes })).tree).toEqual(whole.tree);
    }
  });

  test.each<[string, TarEntry[], RegExp]>([
    ['a path out of the tree', [file('a/../../evil')], /"a\/..\/..\/evil" has ".."/],
    ['an absolute path', [file('/etc/passwd')], /"\/etc\/passwd" has an absolute path/],
    ['a link out of the tree', [{ name: 'a/l', type: '2', linkName: '../../x' }], /"a\/l" is a link that may lead out/],
    ['an absolute link', [{ name: 'l', type: '2', linkName: '/etc/passwd' }], /"l" is a link to an absolute path/],
    [
      'a link that climbs out through another link',
      [
        { name: 'p/q/x', type: '2', linkName: '../../t' },
        { name: 'l', type: '2', linkName: 'p/q/x/../..' },
      ],
      /"l" is a link that may lead out/,
    ],
    [
      'a file below a link',
      [{ name: 'l', type: '2', linkName: 'd' }, file('l/evil')],
      /"l" is a link and a folder at once/,
    ],
    [
      'a file in the place of a link',
      [{ name: 'l', type: '2', linkName: 'd' }, file('l')],
      /"l" is in the archive twice/,
    ],
    ['a hard link to nothing in it', [{ name: 'h', type: '1', linkName: 'etc/passwd' }], /"h" is a hard link to/],
    ['a hard link out of it', [{ name: 'h', type: '1', linkName: '../x' }], /"..\/x" has ".."/],
    [
      'a hard link to a link',
      [
        { name: 'l', type: '2', linkName: 'd' },
        { name: 'h', type: '1', linkName: 'l' },
      ],
      /"h" is a hard link to "l"/,
    ],
    ['a character device', [{ name: 'dev', type: '3' }], /"dev" is a device/],
    ['a block device', [{ name: 'dev', type: '4' }], /"dev" is a device/],
    ['a FIFO', [{ name: 'pipe', type: '6' }], /"pipe" is a FIFO/],
    ['a sparse file', [{ name: 's', type: 'S' }], /"s" is a sparse file/],
    ['a type nobody knows', [{ name: 'v', type: 'V' }], /"v" is of the unsupported type "V"/],
    ['a file twice', [file('a'), file('a')], /"a" is in the archive twice/],
    ['a file where a folder is', [{ name: 'a/', type: '5' }, file('a')], /"a" is in the archive twice/],
    ['a folder where a file is', [file('a'), file('a/b')], /"a" is a file and a folder at once/],
    ['a NUL in a name', [paxOf({ path: 'a\0b' }), file('x')], /has a NUL character/],
    ['no name', [file('')], /has no name/],
    ['a name that is not UTF-8', [{ name: 'x', patch: (h) => void h.fill(0xff, 0, 3) }], /not UTF-8/],
    ['a name too long for a file system', [paxOf({ path: 'n'.repeat(300) }), file('x')], /longer than 255 bytes/],
    ['a path too long', [paxOf({ path: 'n/'.repeat(600) }), file('x')], /longer than 1024 bytes/],
    ['a path too deep', [paxOf({ path: `${'n/'.repeat(120)}x` }), file('x')], /nested deeper than 100/],
    ['a wrong checksum', [{ name: 'a', wrongChecksum: true }], /wrong checksum/],
    ['a negative size', [{ name: 'a', patch: (h) => void h.fill(0xff, 124, 136) }], /"a" has an invalid size/],
    ['a size that is no number', [{ name: 'a', patch: (h) => void h.write('zz', 124) }], /"a" has an invalid size/],
    ['a damaged pax header', [{ name: 'p', type: 'x', body: '99 path=a\n' }, file('x')], /damaged pax header/],
    ['a global header that renames all', [paxOf({ path: 'a' }, 'g'), file('x')], /global header/],
    ['a huge pax header', [{ name: 'p', type: 'x', sizeBytes: 1e9 }], /header of 1000000000 bytes/],
    ['a folder with contents', [{ name: 'd/', type: '5', body: 'x' }], /"d\/" has contents/],
  ])('with %s is refused', async (_what, entries, words) => {
    expectRefused(await unpackHere(tarOf([file('before'), ...entries]), 'tar'), 'BadArchive', words);
  });

  test('that is cut off anywhere is refused', async () => {
    const bytes = tarOf([file('a', 'x'.repeat(700)), file('b')]);
    for (const length of [0, 100, 512, 900, 1536, 2048, 2560]) {
      expectRefused(await unpackHere(bytes.subarray(0, length), 'tar'), 'BadArchive', /truncated/);
    }
  });

  test('with something after its end is refused', async () => {
    const bytes = Buffer.concat([tarOf([file('a')]), Buffer.from('more')]);
    expectRefused(await unpackHere(bytes, 'tar'), 'BadArchive', /after its end marker/);
  });

  test('that is too large is refused before it is written', async () => {
    const huge = tarOf([{ name: 'big', sizeBytes: 2 ** 31 }]);
    expectRefused(await unpackHere(huge, 'tar'), 'ArchiveTooLarge', /more than \d+ bytes \(at entry "big"\)/);
    const many = tarOf(Array.from({ length: 30 }, (_, index) => file(`f${index}`)));
    expectRefused(await unpackHere(many, 'tar', { limits: { maxEntries: 20 } }), 'ArchiveTooLarge', /more than 20 ent/);
    const implied = tarOf([file('a/b/c/d/e/f')]);
    expectRefused(
      await unpackHere(implied, 'tar', { limits: { maxEntries: 5 } }),
      'ArchiveTooLarge',
      /more than 5 ent/,
    );
    const bytes = tarOf([file('a')]);
    expectRefused(
      await unpackHere(bytes, 'tar', { limits: { maxArchiveBytes: 600 } }),
      'ArchiveTooLarge',
      /than 600 b/,
    );
  });

  test('of a million entries is refused at its limit', async () => {
    const empty = tarOf([file('d/0', '')], { withEnd: false });
    const bytes = Buffer.concat([Buffer.alloc(empty.length * 120_000, empty), Buffer.alloc(1024)]);
    const paxOnly = tarOf([paxOf({ comment: 'x' })], { withEnd: false });
    const headers = Buffer.alloc(paxOnly.length * 120_000, paxOnly);
    expectRefused(await unpackHere(bytes, 'tar'), 'BadArchive', /twice/);
    expectRefused(await unpackHere(headers, 'tar'), 'ArchiveTooLarge', /more than 100000 entries/);
  });

  test('with another digest is refused, also where it is no archive at all', async () => {
    const digest = `sha256:${'1'.repeat(64)}`;
    expectRefused(await unpackHere(tarOf([file('a')]), 'tar', { digest }), 'DigestMismatch', /1111/);
    expectRefused(await unpackHere(Buffer.from('<html>'), 'tar', { digest }), 'DigestMismatch', /1111/);
    expectRefused(await unpackHere(Buffer.from('<html>'), 'file', { digest }), 'DigestMismatch', /1111/);
  });
});

describe.each([
  ['tar.gz' as const, (bytes: Buffer) => gzipSync(bytes)],
  ['tar.zst' as const, (bytes: Buffer) => zstdCompressSync(bytes)],
])('a %s archive', (format, compress) => {
  const bytes = compress(tarOf([file('index.js', 'hello '.repeat(100_000))]));

  test('is unpacked while it arrives', async () => {
    const { tree } = await unpackHere(bytes, format, { chunkBytes: 100 });
    expect(tree['index.js']).toBe(`file:${'hello '.repeat(100_000)}`);
  });

  test('that is cut off, followed by garbage or something else is refused', async () => {
    expectRefused(await unpackHere(bytes.subarray(0, -20), format), 'BadArchive', /truncated|damaged/);
    expectRefused(await unpackHere(Buffer.alloc(0), format), 'BadArchive', /truncated/);
    const trailed = Buffer.concat([bytes, Buffer.from('garbage')]);
    expectRefused(await unpackHere(trailed, format), 'BadArchive', /after the end|damaged/);
    expectRefused(await unpackHere(tarOf([file('a')]), format), 'BadArchive', /not a tar\.(gz|zst) archive/);
  });

  test('that is a bomb is refused by its ratio, and by what it unpacks to', async () => {
    const zeros = compress(Buffer.concat([tarOf([file('a')]), Buffer.alloc(64 * 1024 * 1024)]));
    expectRefused(await unpackHere(zeros, format), 'ArchiveTooLarge', /times its size/);
    const limits = { maxRatio: 1e9, maxUnpackedBytes: 1e6, maxEntries: 10 };
    expectRefused(await unpackHere(zeros, format, { limits }), 'ArchiveTooLarge', /unpacks to more than/);
  });
});

describe('a tar.zst archive of several frames', () => {
  const noise = Buffer.from(Uint32Array.from({ length: 200_000 }, (_, index) => (index * 2_654_435_761) >>> 0).buffer);
  const tar = tarOf([file('index.js', 'hello'), { name: 'noise', body: noise }]);
  const part = Math.ceil(tar.length / 5);
  const frames = [0, 1, 2, 3, 4].map((index) => zstdCompressSync(tar.subarray(index * part, (index + 1) * part)));
  /** What pzstd puts before each of its frames: a skippable one with the size of the next. */
  const skippable = Buffer.from('502a4d180400000001020304', 'hex');

  test.each([
    ['one after the other', Buffer.concat(frames)],
    ['with skippable frames between them', Buffer.concat(frames.flatMap((frame) => [skippable, frame]))],
    ['with an empty frame at the end', Buffer.concat([...frames, zstdCompressSync(Buffer.alloc(0))])],
  ])('%s is unpacked, whatever pieces it arrives in', async (_name, bytes) => {
    for (const chunkBytes of [1_000, frames[0]?.length ?? 0, 1024 * 1024]) {
      const { tree, error } = await unpackHere(bytes, 'tar.zst', { chunkBytes });
      expect(error).toBeUndefined();
      expect(tree['noise'] === `file:${noise.toString('latin1')}`).toBe(true);
    }
  });

  test('is refused when one of them is cut off, and when there are many without contents', async () => {
    const bytes = Buffer.concat(frames);
    expectRefused(await unpackHere(bytes.subarray(0, -7), 'tar.zst'), 'BadArchive', /truncated|damaged/);
    const endless = Buffer.concat([bytes, Buffer.alloc(200 * skippable.length, skippable)]);
    expectRefused(await unpackHere(endless, 'tar.zst'), 'BadArchive', /more than 64 zstd frames/);
  });
});

test('a single file becomes a tree of one file with the name that the claim gives', async () => {
  const { tree, error } = await unpackHere(Buffer.from('exports.handler'), 'file');
  expect(error).toBeUndefined();
  expect(tree).toEqual({ 'index.js': 'file:exports.handler' });
});
