import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { invokeOnce } from '@warmpool/local/invoke.ts';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { aNodePool, aPythonPool, isPythonHere, LocalWorld } from '../support/local-world.ts';

const WAIT = { timeout: 60_000, interval: 50 };
const hasPython = await isPythonHere();
let world: LocalWorld;
beforeAll(async () => {
  world = await LocalWorld.start([aNodePool(2), ...(hasPython ? [aPythonPool(2)] : [])], { prepares: true });
}, 60_000);
afterAll(() => world.stop());

/** What was prepared beside the one tree that holds this file. */
function packsBeside(fileName: string): string[] {
  const entries = path.join(world.local.runDir, 'cache/sha256');
  const found = readdirSync(entries).filter((key) => readdirSync(path.join(entries, key, 'tree')).includes(fileName));
  return found.flatMap((key) => {
    const folder = path.join(entries, key, 'prepared');
    try {
      return readdirSync(folder).flatMap((tag) => readdirSync(path.join(folder, tag)).map((file) => `${tag}/${file}`));
    } catch {
      return [];
    }
  });
}

async function answer(pool: string, claim: ClaimRequestInput): Promise<unknown> {
  const reply = await world.tryClaim(pool, claim);
  expect(reply.status).toBe(201);
  const { address, claimId } = await world.claimState(claim.claimId);
  const said = await invokeOnce(address?.url ?? '', {
    method: 'POST',
    path: '/',
    body: {},
    expect: { status: 200, contains: '' },
  });
  await world.client.release('default', claimId);
  await world.untilFull();
  return JSON.parse(said.text) as unknown;
}

describe('code that was fetched once', () => {
  it('is prepared beside its tree, and answers the next claim as it did the first', async () => {
    const files = {
      'index.js': 'const { name } = require("./lib"); exports.handler = (event) => ({ name, file: __filename });',
      'lib/index.js': 'exports.name = require("kept").name;',
      // large enough to be worth it
      'node_modules/kept/index.js': `exports.name = "a package"; /* ${'x'.repeat(64 * 1024)} */`,
    };
    const claim = world.claimFor(files);
    const first = await answer('nodejs', claim);
    await vi.waitFor(
      () => expect(packsBeside('index.js')).toEqual([expect.stringMatching(/^nodejs-v.*\/modules\.pack$/)]),
      WAIT,
    );
    const second = await answer('nodejs', { ...claim, claimId: `${claim.claimId}-again` });
    expect(second).toEqual(first);
    expect(second).toMatchObject({ name: 'a package' });
  });

  it.skipIf(!hasPython)('in Python has its bytecode there', async () => {
    const files = {
      'main.py': 'import part\ndef handler(event, context):\n    return [part.name, part.__file__]\n',
      'part.py': 'name = "part"\n',
    };
    const claim = { ...world.claimFor(files), handler: 'main.handler' };
    const first = await answer('python', claim);
    await vi.waitFor(
      () => expect(packsBeside('main.py')).toEqual([expect.stringMatching(/^python-.*\/modules\.pack$/)]),
      WAIT,
    );
    expect(await answer('python', { ...claim, claimId: `${claim.claimId}-again` })).toEqual(first);
  });
});
