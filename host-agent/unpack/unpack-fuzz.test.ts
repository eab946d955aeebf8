import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { CodeFormat } from '@warmpool/protocol/fields.ts';
import { isHostError } from '../errors.ts';
import { paxOf, tarOf } from '../testing/tar-builder.ts';
import { readTree, unpackHere } from '../testing/unpacking.ts';
import { zipOf } from '../testing/zip-builder.ts';

const seed = Date.now() & 0x7fffffff;
const scratch = mkdtempSync(join(tmpdir(), 'warmpool-fuzz-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface FileOf {
  path: string[];
  body: Buffer;
  isExecutable: boolean;
}

const segment = fc.stringMatching(/^[a-zA-Z0-9_.äß漢 -]{1,40}$/).filter((name) => !/^\.+$/.test(name));
const aFile: fc.Arbitrary<FileOf> = fc.record({
  path: fc.array(segment, { minLength: 1, maxLength: 5 }),
  body: fc
    .oneof(fc.uint8Array({ maxLength: 2000 }), fc.constant(new Uint8Array(70_000).fill(65)))
    .map((bytes) => Buffer.from(bytes)),
  isExecutable: fc.boolean(),
});
/** Files of which none is another one's folder. */
const aTree = fc.array(aFile, { maxLength: 12 }).map((files) => {
  const kept: FileOf[] = [];
  for (const file of files) {
    const path = file.path.join('/');
    const clashes = kept.some(
      (other) => `${other.path.join('/')}/`.startsWith(`${path}/`) || `${path}/`.startsWith(`${other.path.join('/')}/`),
    );
    if (!clashes) kept.push(file);
  }
  return kept;
});

const asTar = (files: FileOf[]): Buffer =>
  tarOf(
    files.flatMap(({ path, body, isExecutable }) => [
      paxOf({ path: path.join('/') }),
      { name: 'short', body, mode: isExecutable ? 0o755 : 0o644 },
    ]),
  );
const writers: Record<Exclude<CodeFormat, 'file'>, (files: FileOf[]) => Buffer> = {
  tar: asTar,
  'tar.gz': (files) => gzipSync(asTar(files)),
  'tar.zst': (files) => zstdCompressSync(asTar(files)),
  zip: (files) =>
    zipOf(
      files.map(({ path, body, isExecutable }, index) => ({
        name: path.join('/'),
        body,
        mode: isExecutable ? 0o100755 : 0o100644,
        stored: index % 3 === 0,
        dataDescriptor: index % 2 === 0,
      })),
    ),
};
const formats = Object.keys(writers) as (keyof typeof writers)[];

function expectedTree(files: FileOf[]): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const { path, body, isExecutable } of files) {
    for (let depth = 1; depth < path.length; depth++) tree[path.slice(0, depth).join('/')] = 'folder';
    tree[path.join('/')] = `${isExecutable ? 'exec' : 'file'}:${body.toString('latin1')}`;
  }
  return tree;
}

describe(`any tree (seed ${seed})`, () => {
  test.each(formats)('comes back from %s as it was', async (format) => {
    await fc.assert(
      fc.asyncProperty(aTree, fc.integer({ min: 1, max: 5000 }), async (files, chunkBytes) => {
        const { tree, error } = await unpackHere(writers[format](files), format, { chunkBytes });
        expect(error).toBeUndefined();
        expect(tree).toEqual(expectedTree(files));
      }),
      { seed, numRuns: 25 },
    );
  });

  test.each(formats)(
    'whose %s archive is damaged is unpacked or refused, and nothing is written elsewhere',
    async (format) => {
      const change = fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0x2e, 0x2f, 0, 0x32, 0x31)));
      await fc.assert(
        fc.asyncProperty(
          aTree,
          fc.array(change, { minLength: 1, maxLength: 8 }),
          fc.nat(3),
          async (files, changes, cut) => {
            const bytes = writers[format](files);
            for (const [position, value] of changes) if (bytes.length > 0) bytes[position % bytes.length] = value;
            const kept = cut === 0 ? bytes.subarray(0, Math.floor(bytes.length / 2)) : bytes;
            const { error, strays } = await unpackHere(kept, format);
            expect(strays).toEqual([]);
            if (error !== undefined) expect(error).toSatisfy(isHostError);
          },
        ),
        { seed, numRuns: 60 },
      );
    },
  );
});

test.each([
  ['tar', ['--format=gnu']],
  ['tar', ['--format=pax']],
  ['tar', ['--format=v7']],
  ['tar.gz', ['-z']],
  ['tar.zst', ['--zstd']],
] as const)('what the system tar writes as %s (%j) comes back as it was', async (format, flags) => {
  const root = join(scratch, `${format}${flags[0]}`);
  const deep = flags[0] === '--format=v7' ? 'd' : 'folder-with-a-long-name/'.repeat(8);
  mkdirSync(join(root, deep), { recursive: true });
  writeFileSync(join(root, deep, 'index.js'), 'x'.repeat(3000));
  writeFileSync(join(root, 'run.sh'), '#!', { mode: 0o755 });
  symlinkSync('run.sh', join(root, 'link'));
  const archive = join(dirname(root), `${Math.random()}.out`);
  const { status } = spawnSync('tar', ['-cf', archive, ...flags, '-C', root, '.']);
  expect(status).toBe(0);
  const { tree, error } = await unpackHere(readFileSync(archive), format);
  expect(error).toBeUndefined();
  expect(tree).toEqual(readTree(root));
});
