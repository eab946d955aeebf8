import { afterAll, beforeAll, expect, it } from 'vitest';
import { claimSchema, type Claim } from '@warmpool/protocol/claim-api.ts';
import { isPythonHere, LocalWorld, aNodePool, aPythonPool } from '../support/local-world.ts';
import { processGroup } from '../support/run-processes.ts';

/** The same code for two tenants: they share the bytes of it, and no process, no log and no kept instance. Folders: host-agent-csi-isolation. */

const NODE = `let calls = 0;
exports.handler = ({ say }) => {
  console.log(say);
  return { pid: process.pid, parent: process.ppid, calls: ++calls, secret: process.env.SECRET };
};\n`;
const PYTHON = `import os
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print(event["say"])
    return {"pid": os.getpid(), "parent": os.getppid(), "calls": calls, "secret": os.environ["SECRET"]}
`;
const hasPython = await isPythonHere();

let world: LocalWorld;
beforeAll(async () => {
  world = await LocalWorld.start([aNodePool(3), ...(hasPython ? [aPythonPool(3)] : [])]);
});
afterAll(() => world.stop());

interface Told {
  pid: number;
  parent: number;
  calls: number;
  secret: string;
}

const LANGUAGES: [string, Record<string, string>][] = [
  ['nodejs', { 'index.js': NODE }],
  ...(hasPython ? [['python', { 'index.py': PYTHON }] satisfies [string, Record<string, string>]] : []),
];

it.each(LANGUAGES)('in %s, two tenants have neither process nor log nor instance in common', async (pool, files) => {
  const code = world.storedFiles(files);
  const claimFor = async (tenant: string): Promise<Claim> => {
    const request = world.claimOf(code, {
      function: { name: 'same', version: '1', tenant },
      env: { SECRET: `of-${tenant}` },
    });
    const { status, body } = await world.tryClaim(pool, request);
    expect({ status, body }).toMatchObject({ status: 201 });
    return claimSchema.parse(body);
  };
  const ask = async (claim: Claim, say: string): Promise<Told> =>
    (await world.invoke(claim.address?.url, { say }, say)).body as Told;
  const logsOf = async ({ claimId }: Claim): Promise<string> =>
    JSON.stringify((await world.call('GET', `/v1/claims/default/${claimId}/logs`)).body);

  const [red, blue] = await Promise.all([claimFor('red'), claimFor('blue')]);
  const [ofRed, ofBlue] = await Promise.all([ask(red, 'red-says'), ask(blue, 'blue-says')]);
  expect([ofRed, ofBlue]).toMatchObject([
    { calls: 1, secret: 'of-red' },
    { calls: 1, secret: 'of-blue' },
  ]);
  // Python's interpreter is a child of its agent, in a group of its own
  const owners = [red, blue].map((claim) => processGroup(world.pidOf(claim.pod?.uid ?? '')));
  for (const [index, told] of [ofRed, ofBlue].entries()) {
    expect(owners[index]?.some((pid) => pid === told.pid || pid === told.parent)).toBe(true);
  }
  expect(owners[0]?.filter((pid) => owners[1]?.includes(pid))).toEqual([]);
  expect(ofRed.pid).not.toBe(ofBlue.pid);
  await expect.poll(() => logsOf(red), { timeout: 10_000 }).toContain('red-says');
  await expect.poll(() => logsOf(blue), { timeout: 10_000 }).toContain('blue-says');
  expect(await logsOf(red)).not.toContain('blue');
  expect(await logsOf(blue)).not.toContain('red');

  // kept warm for the one, an instance is not the other's
  await world.call('DELETE', `/v1/claims/default/${red.claimId}?keepWarm=60s`);
  const later = await claimFor('green');
  expect(later.source).not.toBe('reused');
  expect(later.pod?.uid).not.toBe(red.pod?.uid);
  expect(await ask(later, 'green-says')).toMatchObject({ calls: 1, secret: 'of-green' });
  expect(await logsOf(later)).not.toMatch(/red-says|blue-says/);
});
