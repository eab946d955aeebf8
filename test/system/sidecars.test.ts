import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { claimSchema, type Claim } from '@warmpool/protocol/claim-api.ts';
import type { WarmPool } from '@warmpool/operator/core/resources.ts';
import { aPool } from '../support/builders.ts';
import { LocalWorld } from '../support/local-world.ts';
import { processesOf, readProcFile } from '../support/run-processes.ts';

/** Sidecars that wait without identity: real proxies, and scripts that do what a sidecar should not. */

const HERE = path.join(import.meta.dirname, 'sidecars');
const CANARY = 'canary-6b1f2d-not-for-sidecars';
const ECHO = 'exports.handler = async (event) => ({ got: event.n, secret: process.env.SECRET.length });\n';

interface SidecarSpec {
  command: string[];
  reload: 'HTTP' | 'Script';
  timeoutSeconds?: number;
}

function poolWith(name: string, { command, ...sidecar }: SidecarSpec): WarmPool {
  const containers = [
    { name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24' },
    { name: 'proxy', command },
  ];
  const spec = { replicas: 1, standby: { sidecars: [{ name: 'proxy', ...sidecar }] } };
  const pool = aPool(name, { ...spec, template: { spec: { containers } } });
  // parsing drops what the schema does not name
  return { ...pool, spec: { ...pool.spec, template: { spec: { containers } } } };
}

const PROXIES: [string, string[], SidecarSpec][] = [
  ['haproxy', ['haproxy', '-v'], { reload: 'HTTP', command: ['haproxy', '-f', path.join(HERE, 'haproxy.cfg')] }],
  [
    'nginx',
    ['nginx', '-v'],
    { reload: 'Script', command: ['env', 'ACCESS_LOG=access.log', 'sh', path.join(HERE, 'nginx.sh')] },
  ],
];
const present = PROXIES.filter(([name, [program = '', ...args]]) => {
  if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) return true;
  process.stdout.write(`skipped: the sidecar ${name}: ${program} not found\n`);
  return false;
});

const script = (text: string): string[] => ['sh', '-c', `cd "$WARMPOOL_SIDECAR_DIR"; mkfifo reload; ${text}`];
/** Two sides that only get on when both are under way; the folder comes with the service metadata. */
const MEETS = `read -r _ < reload; dir=$(sed -n 's/^dir //p' service.txt); : > "$dir/sidecar"
  until [ -e "$dir/import" ]; do sleep 0.01; done; : > reloaded; sleep 1000`;
const IMPORT_MEETS = `const fs = require('node:fs');
fs.writeFileSync(process.env.DIR + '/import', '');
while (!fs.existsSync(process.env.DIR + '/sidecar')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
exports.handler = () => 1;\n`;

let world: LocalWorld;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'sidecars-'));
  world = await LocalWorld.start([
    ...present.map(([name, , spec]) => poolWith(name, spec)),
    poolWith('meets', { reload: 'Script', command: script(MEETS) }),
    poolWith('refuses', {
      reload: 'Script',
      command: script('read -r _ < reload; echo "no route today" > failed; sleep 1000'),
    }),
    poolWith('silent', { reload: 'Script', timeoutSeconds: 1, command: script('read -r _ < reload; sleep 1000') }),
    poolWith('mortal', { reload: 'HTTP', command: ['sleep', '1000'] }),
  ]);
});
afterEach(() => world.releaseAll());
afterAll(async () => {
  await world.stop();
  rmSync(folder, { recursive: true, force: true });
});

const folderOf = (podUid: string): string => path.join(world.local.runDir, 'pods', podUid, 'sidecars/proxy');
const standbyPod = (pool: string): string => {
  const found = world.pods().find(({ metadata }) => metadata.labels?.['warmpool.dev/pool'] === pool);
  if (found === undefined) throw new Error(`pool ${pool} has no pod`);
  return found.metadata.uid;
};

async function claimed(pool: string, files: Record<string, string>, change: object = {}): Promise<Claim> {
  const { status, body } = await world.tryClaim(pool, world.claimFor(files, change));
  expect({ status, body }).toMatchObject({ status: 201 });
  return claimSchema.parse(body);
}

/** Through the proxy's own socket; undefined when nobody listens there. */
function through(podUid: string, body: string): Promise<{ status: number; text: string } | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const socketPath = path.join(folderOf(podUid), 'traffic.sock');
    const sent = httpRequest({ socketPath, method: 'POST', path: '/orders', headers, agent: false });
    sent.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' || error.code === 'ECONNREFUSED' ? resolve(undefined) : reject(error),
    );
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    sent.end(body);
  });
}

/** HAProxy writes it to its output, nginx to a file: it cannot open a socket, which is what its output is here. */
const accessLog = (podUid: string): string =>
  ['stdout.log', 'access.log']
    .map((name) => path.join(folderOf(podUid), name))
    .map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
    .join('');

/** Every file of the sidecar, and the environment and arguments of its processes. */
function allThatItHas(podUid: string): string {
  const files = readdirSync(folderOf(podUid), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), 'latin1'));
  const processes = processesOf(folderOf(podUid)).flatMap(({ pid, command }) => [
    readProcFile(pid, 'environ'),
    command,
  ]);
  expect(processes.length).toBeGreaterThan(0);
  return [...files, ...processes].join('\n');
}

describe.each(present.map(([name]) => name))('%s as a sidecar', (pool) => {
  it('routes nothing while standby, and to the function under its service name after the load', async () => {
    const waiting = standbyPod(pool);
    expect((await through(waiting, '{"n":1}'))?.status).toBe(pool === 'haproxy' ? 503 : undefined);
    expect(existsSync(path.join(folderOf(waiting), 'service.json'))).toBe(false);

    const service = { name: 'checkout', 'team/owner': 'payments' };
    const claim = await claimed(pool, { 'index.js': ECHO }, { service, env: { SECRET: CANARY } });
    const podUid = claim.pod?.uid ?? '';
    expect(podUid).toBe(waiting);
    expect(claim.timings?.sidecarsMs).toBeGreaterThan(0);
    expect(await through(podUid, '{"n":7}')).toEqual({ status: 200, text: `{"got":7,"secret":${CANARY.length}}` });
    await vi.waitFor(() => expect(accessLog(podUid)).toContain('service=checkout status=200 POST /orders'), 10_000);
    expect(JSON.parse(readFileSync(path.join(folderOf(podUid), 'service.json'), 'utf8'))).toEqual(service);
    expect(allThatItHas(podUid)).not.toContain(CANARY);
  });

  it('says in the claim why it cannot be reloaded', async () => {
    const answer = await world.tryClaim(pool, world.claimFor({ 'index.js': ECHO }, { env: { SECRET: 'x' } }));
    expect(answer).toMatchObject({
      status: 502,
      body: {
        code: 'SidecarFailed',
        message: expect.stringMatching(/^sidecar proxy of pod .*the service has no name/),
      },
    });
  });
});

describe('a sidecar', () => {
  it('is reloaded while the function is imported, and the claim waits for both', async () => {
    const service = { dir: folder };
    await claimed('meets', { 'index.js': IMPORT_MEETS }, { service, env: { DIR: folder } });
    expect(readdirSync(folder).sort()).toEqual(['import', 'sidecar']);
  });

  it('that fails is named with its own words, and its pod is never used again', async () => {
    const before = standbyPod('refuses');
    const answer = await world.tryClaim('refuses', world.claimFor({ 'index.js': ECHO }, { env: { SECRET: 'x' } }));
    expect(answer).toMatchObject({
      status: 502,
      body: {
        code: 'SidecarFailed',
        message: expect.stringMatching(/^sidecar proxy of pod .* could not reload: no route today$/),
      },
    });
    await world.untilFull();
    expect(world.pods().map(({ metadata }) => metadata.uid)).not.toContain(before);
  });

  it('that never answers costs its own time limit, not the claim’s', async () => {
    const claim = world.claimFor({ 'index.js': ECHO }, { env: { SECRET: 'x' }, deadlineMs: 600_000 });
    expect(await world.tryClaim('silent', claim)).toMatchObject({
      status: 502,
      body: { code: 'SidecarFailed', message: expect.stringMatching(/has made neither .* \(within 1000 ms\)$/) },
    });
  });

  it('that ends while standby takes its pod out of the pool', async () => {
    const before = standbyPod('mortal');
    for (const { pid } of processesOf(folderOf(before))) process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(world.pods().map(({ metadata }) => metadata.uid)).not.toContain(before), 20_000);
    await world.untilFull();
  });
});
