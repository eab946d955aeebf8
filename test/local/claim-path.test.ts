import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { claimFor } from '@warmpool/local/claim-client.ts';
import { machineConfig } from '@warmpool/local/config.ts';
import { invokeOnce, unexpected } from '@warmpool/local/invoke.ts';
import { packFunctions, type PackedFunction } from '@warmpool/local/pack-functions.ts';
import { WARM_POOL_CLAIMS, type WarmPoolClaim } from '@warmpool/operator/core/resources.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { warmPoolClaimSpecSchema } from '@warmpool/protocol/warm-pool.ts';
import { findRuntimes } from '@warmpool/runtime-agent/runtimes.ts';
import { nodejsFixtures } from '../contract/runtime-agent/fixtures.ts';
import { aNodePool, aPythonPool, isPythonHere, LocalWorld } from '../support/local-world.ts';

const FUNCTIONS = fileURLToPath(new URL('../../examples/functions', import.meta.url));
const hasPython = await isPythonHere();

/** Of the examples that every machine can pack; the Python ones are there when Python is. */
const NODE_EXAMPLES = ['express-app', 'node-esm', 'node-hello'];
const PYTHON_EXAMPLES = hasPython ? ['python-asgi', 'python-hello', 'python-markdown', 'python-wsgi'] : [];

let world: LocalWorld;
let packed: PackedFunction[];
beforeAll(async () => {
  const { cacheDir, hostEnv } = machineConfig(process.env);
  world = await LocalWorld.start([aNodePool(3), aNodePool(20, 'burst'), ...(hasPython ? [aPythonPool(2)] : [])]);
  const folders = { functionsDir: FUNCTIONS, cacheDir, storeDir: world.storeDir };
  ({ packed } = await packFunctions(folders, { runtimes: await findRuntimes(), env: hostEnv }));
});
afterEach(() => world.releaseAll());
afterAll(() => world.stop());

function example(name: string): PackedFunction {
  const found = packed.find((each) => each.function.name === name);
  if (found === undefined) throw new Error(`the example ${name} was not packed`);
  return found;
}

const acts = nodejsFixtures.acts;
describe('an example function', () => {
  it.each([...NODE_EXAMPLES, ...PYTHON_EXAMPLES])('is claimed, answers, and is released: %s', async (name) => {
    const fn = example(name);
    const claimId = `example-${name}`;
    const pool = fn.function.runtime.name;
    const answer = await world.tryClaim(pool, claimFor(fn, claimId));
    expect(answer.status).toBe(201);
    expect(answer.headers['server-timing']).toMatch(
      /^queue;dur=[\d.]+, pick;dur=.* load;dur=.* import;dur=.* total;dur=/,
    );
    const claim = await world.claimState(claimId);
    expect(claim).toMatchObject({ state: 'ready', source: 'standby', pool, namespace: 'default' });

    const reply = await invokeOnce(claim.address?.url ?? '', fn.function.invoke);
    expect(unexpected(reply, fn.function.invoke.expect)).toBeUndefined();

    const pid = world.pidOf(claim.pod?.uid ?? '');
    await world.client.release('default', claimId);
    await vi.waitFor(() => expect(world.processes().map((each) => each.pid)).not.toContain(pid), 5000);
    expect(await world.claimState(claimId)).toMatchObject({ state: 'released' });
    await world.untilFull();
  });
});

describe('claims', () => {
  it('that are the same, 50 at once, give one instance and one answer', async () => {
    const claim = world.claimFor(acts.files, { handler: acts.handler });
    const answers = await Promise.all(Array.from({ length: 50 }, () => world.tryClaim('nodejs', claim)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 201));
    for (const { body } of answers) expect(body).toEqual(answers[0]?.body);
    expect(world.local.operator.queries.pools().find(({ name }) => name === 'nodejs')?.claimedReplicas).toBe(1);
  });

  it('that come in a burst as large as the pool get a pod each, and the pool is full again afterwards', async () => {
    const code = world.storedFiles(acts.files);
    const claims = Array.from({ length: 20 }, (_, i) =>
      world.claimOf(code, { claimId: `burst-${i}`, handler: acts.handler, env: { NUMBER: String(i) } }),
    );
    const answers = await Promise.all(claims.map((claim) => world.client.claim('default', 'burst', claim)));
    expect(new Set(answers.map(({ pod }) => pod?.uid)).size).toBe(20);
    expect(new Set(answers.map(({ address }) => address?.port)).size).toBe(20);
    const replies = await Promise.all(
      answers.map(({ address }, i) => world.invoke(address?.url, { act: 'env' }, `burst-${i}`)),
    );
    expect(replies.map(({ body }) => (body as Record<string, string>)['NUMBER'])).toEqual(
      claims.map((_, i) => String(i)),
    );
  });

  it('of the same function and tenant get an instance that was released to be kept warm, and nobody else does', async () => {
    const code = world.storedFiles(acts.files);
    const claimOf = (claimId: string, tenant = 'acme', env = {}) =>
      world.claimOf(code, { claimId, handler: acts.handler, env, function: { name: 'kept', version: '1', tenant } });
    const first = await world.client.claim('default', 'nodejs', claimOf('warm-1'));
    // only an instance that its node has reported as ready is kept
    const uid = first.pod?.uid as PodUid;
    await vi.waitFor(() => expect(world.local.operator.nodes.report(uid)?.state).toBe('ready'), 3000);
    expect(await world.call('DELETE', '/v1/claims/default/warm-1?keepWarm=30s')).toMatchObject({ status: 200 });
    const others = [claimOf('warm-2', 'other'), claimOf('warm-3', 'acme', { MODE: 'other' })];
    for (const other of others) {
      const claim = await world.client.claim('default', 'nodejs', other);
      expect(claim).toMatchObject({ source: 'standby' });
      expect(claim.pod?.uid).not.toBe(first.pod?.uid);
      await world.client.release('default', other.claimId);
    }
    const again = await world.client.claim('default', 'nodejs', claimOf('warm-4'));
    expect(again).toMatchObject({ source: 'reused', pod: { uid: first.pod?.uid }, address: first.address });
    expect(await world.invoke(again.address?.url, { act: 'echo' }, 'warm')).toMatchObject({ status: 200 });
  });
});

describe('an instance', () => {
  it('shows what one request printed, by its id, and not what others did', async () => {
    const claim = world.claimFor(acts.files, { handler: acts.handler });
    const { address } = await world.client.claim('default', 'nodejs', claim);
    for (const id of ['one', 'two']) await world.invoke(address?.url, { act: 'log', text: `said by ${id}` }, id);
    await vi.waitFor(async () => {
      const logs = await world.call('GET', `/v1/claims/default/${claim.claimId}/logs?requestId=two`);
      expect(logs).toMatchObject({
        status: 200,
        body: {
          lines: [
            { requestId: 'two', stream: 'stdout', text: 'said by two' },
            { requestId: 'two', stream: 'stderr', text: 'error: said by two' },
          ],
        },
      });
    }, 3000);
    const all = await world.call('GET', `/v1/claims/default/${claim.claimId}/logs`);
    expect(JSON.stringify(all.body)).toContain('said by one');
  });

  it('has one request killed that waits, goes on serving, and says so to the one that called', async () => {
    const claim = world.claimFor(acts.files, { handler: acts.handler });
    const { address } = await world.client.claim('default', 'nodejs', claim);
    const url = address?.url;
    const waiting = world.invoke(url, { act: 'wait', ms: 60_000 }, 'long');
    const killRoute = `/v1/claims/default/${claim.claimId}/kill`;
    await vi.waitFor(async () => {
      expect((await world.call('POST', killRoute, { requestId: 'long', reason: 'too long' })).status).toBe(202);
    }, 3000);
    expect(await waiting).toMatchObject({
      status: 502,
      body: { code: 'RequestKilled', message: expect.stringContaining('too long') as string },
    });
    expect(await world.invoke(url, { act: 'nothing' }, 'next')).toMatchObject({ status: 204 });
    expect(await world.call('POST', killRoute, { requestId: 'never-seen' })).toMatchObject({
      status: 404,
      body: { message: expect.stringContaining('never-seen') as string },
    });
  });

  it('that is stuck in a loop dies of a forced kill, and its claim says that it was lost', async () => {
    const claim = world.claimFor(acts.files, { handler: acts.handler });
    const { address, pod } = await world.client.claim('default', 'nodejs', claim);
    const pid = world.pidOf(pod?.uid ?? '');
    // what answers while the main thread is busy starts a moment after the instance is ready
    const watchdog = path.join(world.local.runDir, 'pods', pod?.uid ?? '', 'watchdog.sock');
    await vi.waitFor(() => expect(existsSync(watchdog)).toBe(true), 3000);
    const looping = world.invoke(address?.url, { act: 'spin' }, 'loop').catch((error: unknown) => error);
    const kill = { requestId: 'loop', mode: 'force', graceMs: 0 };
    await vi.waitFor(async () => {
      const answer = await world.call('POST', `/v1/claims/default/${claim.claimId}/kill`, kill);
      expect(answer).toMatchObject({ status: 202 });
    }, 5000);
    await looping;
    await vi.waitFor(() => expect(world.processes().map((each) => each.pid)).not.toContain(pid), 5000);
    await vi.waitFor(async () => {
      expect(await world.claimState(claim.claimId)).toMatchObject({
        state: 'failed',
        error: { code: 'InstanceLost', message: expect.stringContaining(claim.claimId) as string },
      });
    }, 5000);
  });
});

describe('a WarmPoolClaim object', () => {
  it('becomes Ready with an address that answers, and takes its pod along when it is deleted', async () => {
    const fn = example('node-hello');
    const { claimId: _, ...claim } = claimFor(fn, 'unused');
    const { env: __, ...spec } = claim;
    const kube = world.local.cluster.client();
    await kube.create<WarmPoolClaim>(WARM_POOL_CLAIMS, 'default', {
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPoolClaim',
      metadata: { name: 'declared', namespace: 'default' },
      spec: warmPoolClaimSpecSchema.parse({ poolName: 'nodejs', ...spec }),
    });
    const read = (): WarmPoolClaim | undefined =>
      world.local.cluster.snapshot(WARM_POOL_CLAIMS).find(({ metadata }) => metadata.name === 'declared') as
        WarmPoolClaim | undefined;
    await vi.waitFor(() => expect(read()?.status).toMatchObject({ phase: 'Ready' }), 5000);
    expect(read()?.status?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }));
    const url = /http:\/\/[^"]+/.exec(JSON.stringify(read()?.status))?.[0] ?? '';
    expect(unexpected(await invokeOnce(url, fn.function.invoke), fn.function.invoke.expect)).toBeUndefined();
    await kube.delete(WARM_POOL_CLAIMS, 'default', 'declared', {});
    await world.untilFull();
  });
});

describe('code from elsewhere', () => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  it.each([
    ['an HTTP server on this machine', 'http://127.0.0.1:9/code.tar'],
    ['a name that leads to this machine', 'http://localhost:9/code.tar'],
    ['a file', 'file:///etc/passwd'],
    ['a bucket that is not configured', 's3://somebody-elses/code.tar'],
  ])('is refused unless it is allowed: %s', async (_what, url) => {
    const answer = await world.tryClaim('nodejs', world.claimOf({ url, digest, format: 'tar' }));
    expect(answer).toMatchObject({ status: 403, body: { statusCode: 403, code: 'SourceNotAllowed' } });
    expect((answer.body as { message: string }).message).toMatch(/is not allowed: \S+/);
  });
});

describe('the pages around the claim API', () => {
  it('are an OpenAPI document that names its routes, and a page to read it on', async () => {
    const document = await world.call('GET', '/openapi.json');
    expect(document).toMatchObject({ status: 200, body: { openapi: expect.stringMatching(/^3\./) as string } });
    expect(Object.keys((document.body as { paths: object }).paths)).toContain('/v1/pools/{namespace}/{pool}/claims');
    const page = await world.call('GET', '/docs/');
    expect(page).toMatchObject({ status: 200, body: expect.stringContaining('<html') as string });
  });

  it('say that the operator lives and serves', async () => {
    expect(await world.call('GET', '/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await world.call('GET', '/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } });
  });

  it('count claims and show pools as metrics', async () => {
    const { status, headers, body } = await world.call('GET', '/metrics');
    expect(status).toBe(200);
    expect(headers['content-type']).toContain('text/plain');
    expect(body).toMatch(/^warmpool_claims_total\{pool="default\/nodejs",outcome="standby"\} [1-9]/m);
    expect(body).toMatch(/^warmpool_claim_duration_seconds_count\{pool="default\/nodejs",phase="total"\} [1-9]/m);
    expect(body).toMatch(/^warmpool_instances\{pool="default\/burst",state="standby"\} 20$/m);
  });
});
