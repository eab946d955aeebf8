import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeRuntime, findRuntimes } from './runtimes.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'warmpool-runtimes-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function aRuntime(folderName: string, manifest: unknown): string {
  const folder = path.join(root, folderName);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'runtime.json'), typeof manifest === 'string' ? manifest : JSON.stringify(manifest));
  return folder;
}

const node = {
  name: 'nodejs',
  probe: ['{node}', '--version'],
  versionPattern: '^v(\\d+)\\.',
  command: ['{node}', '--stack-size=900', 'lib/main.mjs', 'plain'],
};

describe('a runtime manifest', () => {
  it('becomes a version and a command with absolute paths', async () => {
    const folder = aRuntime('nodejs', node);
    const version = process.versions.node.split('.')[0];
    const command = [process.execPath, '--stack-size=900', path.join(folder, 'lib/main.mjs'), 'plain'];
    expect(await describeRuntime(folder)).toEqual({ name: 'nodejs', version, command });
  });

  it('whose program is not installed is missing, in words', async () => {
    const folder = aRuntime('cobol', { ...node, name: 'cobol', probe: ['cobol-not-here', '--version'] });
    const found = await describeRuntime(folder);
    expect(found).toMatchObject({ name: 'cobol', missing: expect.stringContaining('cobol-not-here not found') });
  });

  it('whose program answers something else is missing, with what it answered', async () => {
    const folder = aRuntime('odd', { ...node, versionPattern: '^Python (\\d+)' });
    expect(await describeRuntime(folder)).toMatchObject({ missing: expect.stringContaining(process.version) });
  });

  it('that is wrong is an error that names the file', async () => {
    const notJson = aRuntime('broken', '{');
    await expect(describeRuntime(notJson)).rejects.toThrow(path.join(notJson, 'runtime.json'));
    const noCommand = aRuntime('incomplete', { ...node, command: [] });
    await expect(describeRuntime(noCommand)).rejects.toThrow(path.join(noCommand, 'runtime.json'));
  });
});

it('every folder with a manifest is found, others are left alone', async () => {
  aRuntime('b', { ...node, name: 'b' });
  aRuntime('a', { ...node, name: 'a' });
  mkdirSync(path.join(root, 'nothing-in-it'));
  writeFileSync(path.join(root, 'README'), '');
  expect((await findRuntimes(root)).map(({ name }) => name)).toEqual(['a', 'b']);
});
