import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { zstdDecompressSync } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { packFunctions } from './pack-functions.ts';
import { loadFunctionFile } from './packing/function-file.ts';

const EXAMPLES = fileURLToPath(new URL('../examples/functions', import.meta.url));
const NODE: RuntimeDescription = { name: 'nodejs', version: '24', command: [process.execPath] };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'pack-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const pack = (name: string, runtimes: RuntimeDescription[] = [NODE], env: Record<string, string> = {}) =>
  packFunctions(
    {
      functionsDir: path.join(folder, 'functions'),
      cacheDir: path.join(folder, name),
      storeDir: path.join(folder, name, 'store'),
    },
    { runtimes, env },
  );

async function aFunction(files: Record<string, string> = {}, yaml = ''): Promise<string> {
  const functionFolder = path.join(folder, 'functions', 'greet');
  await mkdir(path.join(functionFolder, 'lib'), { recursive: true });
  const all = {
    'function.yaml': `name: greet
description: Greets.
runtime: { name: nodejs, version: '24' }
kind: handler
handler: index.handler
${yaml}
invoke: { expect: { contains: hi } }
`,
    'index.js': "exports.handler = () => require('./lib/text.js');\n",
    'lib/text.js': "module.exports = 'hi';\n",
    ...files,
  };
  for (const [name, text] of Object.entries(all)) await writeFile(path.join(functionFolder, name), text);
  return functionFolder;
}

describe('packing functions', () => {
  it('puts an archive into the store under a key that names its digest', async () => {
    await aFunction();
    const { packed, skipped } = await pack('cache');
    expect(skipped).toEqual([]);
    const [greet] = packed;
    const bytes = await readFile(path.join(folder, 'cache', 'store', greet?.key ?? ''));
    const hex = createHash('sha256').update(bytes).digest('hex');
    expect(greet).toMatchObject({
      key: `functions/greet/${hex}.tar.zst`,
      digest: `sha256:${hex}`,
      sizeBytes: bytes.length,
      format: 'tar.zst',
    });
    const entries = await unpackTar(zstdDecompressSync(bytes));
    expect(entries.map(({ header }) => header.name)).toEqual(['lib/', 'index.js', 'lib/text.js']);
    for (const { header } of entries) expect(header).toMatchObject({ uid: 0, gid: 0, mtime: new Date(0) });
  });

  it('gives the same bytes for the same files, in another cache and at another time', async () => {
    const functionFolder = await aFunction();
    const first = await pack('cache');
    await utimes(path.join(functionFolder, 'index.js'), 1, 1);
    const second = await pack('other-cache');
    expect(second.packed[0]?.digest).toBe(first.packed[0]?.digest);
  });

  it('takes the archive from the cache the second time, and packs again when a file has changed', async () => {
    await aFunction();
    const first = await pack('cache');
    const startMs = performance.now();
    const second = await pack('cache');
    expect(performance.now() - startMs).toBeLessThan(100);
    expect(second).toEqual(first);
    await aFunction({ 'lib/text.js': "module.exports = 'hi!';\n" });
    const third = await pack('cache');
    expect(third.packed[0]?.digest).not.toBe(first.packed[0]?.digest);
  });

  it('puts an object back that is gone from the store, and repairs a cut archive', async () => {
    await aFunction();
    const [first] = (await pack('cache')).packed;
    const archives = path.join(folder, 'cache', 'archives');
    const archive = (await readdir(archives)).find((name) => name.endsWith('.tar.zst'));
    await rm(path.join(folder, 'cache', 'store'), { recursive: true });
    await writeFile(path.join(archives, archive ?? ''), 'cut');
    const [again] = (await pack('cache')).packed;
    expect(again).toEqual(first);
    expect((await readFile(path.join(folder, 'cache', 'store', again?.key ?? ''))).length).toBe(first?.sizeBytes);
  });

  it('leaves no unfinished file behind, also when several run at once', async () => {
    await aFunction();
    const [first, second] = await Promise.all([pack('cache'), pack('cache')]);
    expect(second.packed[0]?.digest).toBe(first.packed[0]?.digest);
    const all = await readdir(path.join(folder, 'cache'), { recursive: true });
    expect(all.filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it.each([
    ['has no such runtime', [], 'needs nodejs 24: no such runtime is known'],
    ['lacks the runtime', [{ name: 'nodejs', missing: 'node not found' }], 'needs nodejs 24: node not found'],
    ['has another version', [{ ...NODE, version: '20' }], 'needs nodejs 24: there is nodejs 20'],
  ])('skips a function with the reason where the machine %s', async (_what, runtimes, reason) => {
    await aFunction();
    expect(await pack('cache', runtimes)).toEqual({ packed: [], skipped: [{ name: 'greet', reason }] });
  });

  it('skips a function whose packages cannot be installed for want of npm, and says where to get it', async () => {
    await aFunction({ 'package.json': '{"name":"greet","version":"1.0.0"}', 'package-lock.json': '{}' });
    const { skipped } = await pack('cache', [NODE], { PATH: path.join(folder, 'nothing') });
    expect(skipped).toEqual([{ name: 'greet', reason: 'npm is not on the PATH; it comes with Node.js' }]);
    expect(await readdir(path.join(folder, 'cache', 'trees'))).toEqual([]);
  });

  it.each([
    [
      'another content',
      'x',
      'which is 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 in dependencies.sha256',
    ],
    ['no hash at all', undefined, 'which is not in dependencies.sha256'],
  ])('refuses a jar that has %s', async (_what, content, words) => {
    const bin = path.join(folder, 'bin');
    await mkdir(bin);
    // what a registry that was tampered with looks like to Maven's caller
    const maven = '#!/bin/sh\n/bin/mkdir lib && echo evil >lib/a.jar\n';
    await writeFile(path.join(bin, 'mvn'), maven, { mode: 0o755 });
    const hash = content && createHash('sha256').update(content).digest('hex');
    await aFunction({ 'pom.xml': '<project/>', 'dependencies.sha256': hash ? `${hash}  a.jar\n` : '' });
    await writeFile(
      path.join(folder, 'functions/greet/function.yaml'),
      (await readFile(path.join(folder, 'functions/greet/function.yaml'), 'utf8')).replace(
        "nodejs, version: '24'",
        "java, version: '17'",
      ),
    );
    const java: RuntimeDescription = { name: 'java', version: '17', command: ['/bin/sh'] };
    const { skipped } = await pack('cache', [java], { PATH: bin });
    expect(skipped).toMatchObject([
      { name: 'greet', reason: expect.stringContaining('Maven resolved a.jar') as string },
    ]);
    expect(skipped[0]?.reason).toContain(words);
  });

  it('refuses links: they would lead somewhere else on another machine', async () => {
    const functionFolder = await aFunction();
    await symlink('/etc/hostname', path.join(functionFolder, 'link'));
    await expect(pack('cache')).rejects.toThrow(`${functionFolder}/link is a link or a special file`);
  });

  it('names file, line and field of a wrong function.yaml', async () => {
    await aFunction({}, 'handlr: x\nformat: rar');
    await expect(pack('cache')).rejects.toThrow(
      /function\.yaml:6:1 handlr: is not a known field; did you mean "handler"\?\n.*function\.yaml:7:9 format: /,
    );
  });
});

describe('the example functions', () => {
  it('all have a valid function.yaml that bears the name of their folder', async () => {
    for (const name of await readdir(EXAMPLES)) {
      expect((await loadFunctionFile(path.join(EXAMPLES, name))).name).toBe(name);
    }
  });

  it('have lockfiles that name no package host', async () => {
    for (const name of ['express-app', 'node-esm']) {
      const lockfile = await readFile(path.join(EXAMPLES, name, 'package-lock.json'), 'utf8');
      expect(lockfile).not.toContain('"resolved"');
    }
  });
});
