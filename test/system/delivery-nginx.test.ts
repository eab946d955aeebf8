import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import type { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { ObjectServer } from '@warmpool/host-agent/testing/object-server.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import { freePort } from '../support/free-port.ts';

const TEMPLATE = fileURLToPath(new URL('../../manifests/mirror/nginx.conf.template', import.meta.url));
const MIB = 1024 * 1024;
const hasNginx = spawnSync('nginx', ['-v'], { stdio: 'ignore' }).status === 0;
if (!hasNginx) process.stdout.write('skipped: the mirror with a real nginx: nginx not found\n');

let node: NodeUnderTest;
let store: ObjectServer;
let nginx: ChildProcess;
let mirror: string;
let storeUrl: string;

beforeEach(async () => {
  node = new NodeUnderTest();
  store = new ObjectServer();
  storeUrl = await store.listen();
  if (!hasNginx) return;
  const folder = join(node.folder, 'mirror');
  mkdirSync(folder);
  const port = await freePort();
  mirror = `http://127.0.0.1:${port}`;
  const values = { CACHE_DIR: folder, CACHE_SIZE: '1g', LISTEN: `127.0.0.1:${port}`, STORE_URL: storeUrl };
  const config = Object.entries(values).reduce(
    (text, [name, value]) => text.replaceAll(`\${${name}}`, value),
    readFileSync(TEMPLATE, 'utf8'),
  );
  // its workers run as somebody else when it is started by root
  const user = process.getuid?.() === 0 ? 'user root;\n' : '';
  writeFileSync(join(folder, 'nginx.conf'), user + config);
  nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'], { stdio: 'inherit' });
  await expect
    .poll(
      () =>
        fetch(mirror).then(
          () => true,
          () => false,
        ),
      { timeout: 5_000 },
    )
    .toBe(true);
});
afterEach(async () => {
  if (hasNginx) await stopNginx();
  await node.close();
  await store.close();
});

async function stopNginx(): Promise<void> {
  if (nginx.exitCode !== null || nginx.signalCode !== null) return;
  const exited = once(nginx, 'exit');
  nginx.kill('SIGTERM');
  await exited;
}

function put(key: string): { key: string; digest: string; format: string } {
  const bytes = tarOf([{ name: 'data.bin', body: randomBytes(9 * MIB) }]);
  store.objects.set(`code/${key}`, bytes);
  return { key, digest: digestOf(bytes), format: 'tar' };
}

/** A host-agent with an empty cache of its own. */
const aHost = (name: string): Promise<HostAgentProcess> =>
  node.host(['--store', `s3://code?endpoint=${storeUrl}`, '--mirror', mirror, '--cache-dir', join(node.folder, name)]);

async function bring(host: HostAgentProcess, code: Record<string, string>): Promise<void> {
  expect(await host.request('POST', '/v1/prefetch', { code })).toMatchObject({ statusCode: 202 });
  const states = async (): Promise<unknown> =>
    (await host.request<PrefetchList>('GET', '/v1/prefetch')).body.items.at(-1);
  await expect.poll(states, { timeout: 10_000 }).toMatchObject({ digest: code['digest'], state: 'cached' });
}

describe('an nginx in front of the store', () => {
  test('reads each object from the store once for all nodes, and is missed by nobody when it ends', async (context) => {
    if (!hasNginx) return context.skip();
    const code = put('app.tar');
    const first = await aHost('cache-1');
    await bring(first, code);
    const reads = store.requests.filter(({ path }) => path === 'code/app.tar').length;
    expect(reads).toBe(3);
    await first.end('SIGTERM');

    const second = await aHost('cache-2');
    await bring(second, code);
    expect(store.requests.filter(({ path }) => path === 'code/app.tar')).toHaveLength(reads);
    expect((await second.request<string>('GET', '/metrics')).body).toMatch(
      /warmpool_host_mirror_requests_total\{outcome="served"\} \d/,
    );

    await stopNginx();
    await bring(second, put('later.tar'));
    expect((await second.request<string>('GET', '/metrics')).body).toMatch(
      /warmpool_host_mirror_requests_total\{outcome="unreachable"\} \d/,
    );
  });

  test('whose cached bytes are wrong is found out by the digest, and the store asked', async (context) => {
    if (!hasNginx) return context.skip();
    const code = put('app.tar');
    const right = store.objects.get('code/app.tar') ?? Buffer.alloc(0);
    store.objects.set(
      'code/app.tar',
      Buffer.concat([right.subarray(0, 5 * MIB), randomBytes(MIB), right.subarray(6 * MIB)]),
    );
    // filled by another node, before the store was mended
    const other = await aHost('cache-0');
    await other.request('POST', '/v1/prefetch', { code });
    const state = async (): Promise<unknown> =>
      (await other.request<PrefetchList>('GET', '/v1/prefetch')).body.items[0]?.error?.code;
    await expect.poll(state, { timeout: 10_000 }).toBe('DigestMismatch');
    await other.end('SIGTERM');
    store.objects.set('code/app.tar', right);
    const host = await aHost('cache-1');
    const events = await host.events();
    expect(await host.request('POST', '/v1/prefetch', { code })).toMatchObject({ statusCode: 202 });
    await events.until((event) => event.type === 'CACHED' && event.digest === code.digest, 10_000);
    await events.close();
    expect((await host.request<string>('GET', '/metrics')).body).toContain('{outcome="wrong_bytes"} 1');
  });
});
