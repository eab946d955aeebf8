import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ArtefactStore } from './artefact-store.ts';

const ID = `sha256:${'a'.repeat(64)}`;
const { signal } = new AbortController();
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpool-artefacts-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function textOf(chunks: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  let text = '';
  for await (const chunk of chunks ?? []) text += Buffer.from(chunk).toString();
  return text;
}

test.each(['while it is put in its place', 'after it was put in its place'])(
  'what was found while it arrived can be read %s',
  async (when) => {
    const problems: unknown[] = [];
    const store = await ArtefactStore.open({ onProblem: (error) => problems.push(error) }, folder, 1000, new Set());
    const incoming = await store.begin(ID, 5);
    await incoming?.append(Buffer.from('hello'));
    const found = store.find(ID);
    const kept = incoming?.keep();
    if (when.startsWith('after')) await kept;
    expect(await textOf(found?.read(0, signal))).toBe('hello');
    await kept;
    expect(await textOf(store.find(ID)?.read(0, signal))).toBe('hello');
    expect(problems).toEqual([]);
  },
);
