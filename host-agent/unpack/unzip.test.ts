import { expect, describe, test } from 'vitest';
import type { Unpacked } from '../testing/unpacking.ts';
import { unpackHere } from '../testing/unpacking.ts';
import type { ZipEntry } from '../testing/zip-builder.ts';
import { zipOf } from '../testing/zip-builder.ts';

function expectRefused(unpacked: Unpacked, code: string, words: RegExp): void {
  expect(unpacked.error).toMatchObject({ code, message: expect.stringMatching(words) as string });
  expect(unpacked.strays).toEqual([]);
}

describe('a zip archive', () => {
  test('becomes a read-only tree, with stored, deflated, described, zip64 and streamed entries', async () => {
    const large = Buffer.alloc(9 * 1024 * 1024, 'abc');
    const { tree, error } = await unpackHere(
      zipOf([
        { name: 'lib/' },
        { name: 'dos', dosAttributes: 0x10 },
        { name: 'index.js', body: 'hello' },
        { name: 'stored.js', body: 'as it is', stored: true },
        { name: 'described.js', body: 'later', dataDescriptor: true },
        { name: 'zip64.js', body: 'wide', zip64: true },
        { name: 'bin/run', body: '#!', mode: 0o104755 },
        { name: 'link', body: 'bin/run', mode: 0o120777 },
        { name: 'empty', body: '' },
        { name: 'large', body: large },
      ]),
      'zip',
    );
    expect(error).toBeUndefined();
    expect(tree['large']?.length).toBe(large.length + 'file:'.length);
    delete tree['large'];
    expect(tree).toEqual({
      bin: 'folder',
      'bin/run': 'exec:#!',
      'described.js': 'file:later',
      dos: 'folder',
      empty: 'file:',
      'index.js': 'file:hello',
      lib: 'folder',
      link: 'link:bin/run',
      'stored.js': 'file:as it is',
      'zip64.js': 'file:wide',
    });
  });

  test.each<[string, ZipEntry, RegExp]>([
    ['a path out of the tree', { name: '../evil' }, /\.\.\/evil/],
    ['a path out of the tree by backslashes', { name: '..\\evil' }, /evil/],
    ['an absolute path', { name: '/etc/passwd' }, /\/etc\/passwd/],
    ['a link out of the tree', { name: 'l', body: '../x', mode: 0o120777 }, /"l" is a link that may lead out/],
    ['a device', { name: 'dev', mode: 0o020666 }, /"dev" is a device/],
    ['a FIFO', { name: 'pipe', mode: 0o010666 }, /"pipe" is a FIFO/],
    ['a type of file that there is not', { name: 'odd', body: 'x', mode: 0o070644 }, /"odd" is of the unknown type 7/],
    ['a folder of DOS with contents', { name: 'dos', body: 'x', dosAttributes: 0x10 }, /"dos" has contents although/],
    ['an encrypted entry', { name: 'secret', body: 'x', flags: 1 }, /"secret" is encrypted/],
    ['an unknown method', { name: 'm', body: 'x', method: 99 }, /"m" is compressed by the unsupported method 99/],
    ['a wrong checksum', { name: 'c', body: 'x', crc: 1 }, /"c" is damaged: its checksum/],
    ['a size that is a lie', { name: 's', body: 'xxxx', uncompressedBytes: 2 }, /"s" is larger than its header says/],
    ['a size that is too large', { name: 's', body: 'xxxx', uncompressedBytes: 9 }, /"s" has another size/],
    ['a NUL in a name', { name: 'a\0b' }, /NUL/],
    ['a file twice', { name: 'first', body: 'again' }, /"first" is in the archive twice/],
    ['a file below a file', { name: 'first/x' }, /"first" is a file and a folder at once/],
  ])('with %s is refused', async (_what, entry, words) => {
    expectRefused(await unpackHere(zipOf([{ name: 'first', body: '1' }, entry]), 'zip'), 'BadArchive', words);
  });

  test('that is cut off, followed by garbage or something else is refused', async () => {
    const bytes = zipOf([{ name: 'a', body: 'x'.repeat(1000) }]);
    for (const length of [0, 10, 40, bytes.length - 1]) {
      expectRefused(
        await unpackHere(bytes.subarray(0, length), 'zip'),
        'BadArchive',
        /not a zip archive|cannot be read/,
      );
    }
    expectRefused(await unpackHere(bytes.subarray(5), 'zip'), 'BadArchive', /./);
    expectRefused(await unpackHere(Buffer.concat([bytes, Buffer.from('more')]), 'zip'), 'BadArchive', /not a zip/);
  });

  test('whose end record is wrong about where the directory ends is refused', async () => {
    const bytes = zipOf([{ name: 'a' }, { name: 'b' }]);
    const directoryBytesAt = bytes.length - 10;
    for (const by of [-47, -1, 1]) {
      const wrong = Buffer.from(bytes);
      wrong.writeUInt32LE(bytes.readUInt32LE(directoryBytesAt) + by, directoryBytesAt);
      expectRefused(await unpackHere(wrong, 'zip'), 'BadArchive', /does not end where its end record says/);
    }
  });

  test('that is a bomb or has too many entries is refused', async () => {
    const zeros = zipOf([{ name: 'zeros', body: Buffer.alloc(64 * 1024 * 1024) }]);
    expectRefused(await unpackHere(zeros, 'zip'), 'ArchiveTooLarge', /times its size/);
    const limits = { maxRatio: 1e9, maxUnpackedBytes: 1e6 };
    expectRefused(await unpackHere(zeros, 'zip', { limits }), 'ArchiveTooLarge', /more than 1000000 bytes/);
    const many = zipOf(Array.from({ length: 30 }, (_, index) => ({ name: `f${index}` })));
    expectRefused(await unpackHere(many, 'zip', { limits: { maxEntries: 20 } }), 'ArchiveTooLarge', /has 30 entries/);
  });

  test('with another digest is refused before it is read', async () => {
    const digest = `sha256:${'1'.repeat(64)}`;
    const bytes = zipOf([{ name: '../evil' }]);
    expectRefused(await unpackHere(bytes, 'zip', { digest }), 'DigestMismatch', /1111/);
  });
});
