import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { grantPayload, loadGrantSchema } from '@warmpool/protocol/host-agent-api.ts';
import { PODS, WARM_POOLS } from '../core/resources.ts';
import { EVENTS_RESOURCE } from '../engine/events.ts';
import { KubeError } from '../engine/kube-client.ts';
import { ClaimError } from '../errors.ts';
import { aClaim, aPool } from '../../test/support/builders.ts';
import { OperatorWorld } from '../../test/support/operator-world.ts';
import { HostAgentError } from './host-agent-client.ts';

const never = new AbortController().signal;

async function filled(spec: Parameters<typeof aPool>[1] = {}, count = 3): Promise<OperatorWorld> {
  const world = await OperatorWorld.start([aPool('nodejs', spec)]);
  await world.untilStandby('nodejs', count);
  return world;
}

function claim(world: OperatorWorld, id: string, change: Parameters<typeof aClaim>[1] = {}, signal = never) {
  return world.run(world.operator.claims.claim('default', 'nodejs', aClaim(id, change), signal));
}

async function refusal(promise: Promise<unknown>): Promise<ClaimError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ClaimError);
  return error as ClaimError;
}

describe('a claim', () => {
  it('takes a standby pod out of the pool for good, says where it serves, and the pool refills', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    expect(answer).toMatchObject({
      state: 'ready',
      source: 'standby',
      pod: { node: 'node-1' },
      address: { host: '127.0.0.1' },
    });
    await world.untilStandby('nodejs', 3);
    const claimed = world.pods().filter((pod) => pod.metadata.labels?.['warmpool.dev/state'] === 'claimed');
    expect(claimed.map((pod) => pod.metadata.uid)).toEqual([answer.pod?.uid]);
    expect(claimed[0]?.metadata.ownerReferences ?? []).toEqual([]);
  });

  it('is not disturbed by the refill: pods are created when no claim loads any more, or after half a second', async () => {
    const world = await filled();
    world.node.loadMs = 200;
    const calls = ['c1', 'c2'].map((id) => claim(world, id));
    await world.clock.advance(150);
    expect(world.pods()).toHaveLength(3);
    await world.clock.advance(100);
    await Promise.all(calls);
    expect(world.pods()).toHaveLength(5);

    await world.untilStandby('nodejs', 3);
    world.node.loadMs = 2_000;
    const slow = claim(world, 'slow');
    await world.clock.advance(400);
    expect(world.pods()).toHaveLength(5);
    await world.clock.advance(300);
    expect(world.pods()).toHaveLength(6);
    await slow;
  });

  it('gets a pod of the present template while a changed list of packages rolls', async () => {
    const world = await filled({ rollout: { maxUnavailable: 1 } });
    const before = new Set(world.pods().map((pod) => pod.metadata.uid));
    const news = () => world.pods().filter(({ metadata }) => !before.has(metadata.uid));
    await world.kube.patch(WARM_POOLS, 'default', 'nodejs', { spec: { standby: { preImport: ['express'] } } });
    await world.clock.runUntil(
      () => news().some(({ metadata }) => world.operator.inventory.index.isOffered(metadata.uid as PodUid)),
      60_000,
    );
    const olds = world.pods().filter(({ metadata }) => before.has(metadata.uid));
    expect(olds.some(({ metadata }) => world.operator.inventory.index.isOffered(metadata.uid as PodUid))).toBe(true);
    const answer = await claim(world, 'c1');
    expect(news().map(({ metadata }) => metadata.uid)).toContain(answer.pod?.uid);
  });

  it('costs one write and no read', async () => {
    const world = await filled();
    const calls: string[] = [];
    for (const verb of ['get', 'list', 'patch', 'create', 'delete', 'patchStatus'] as const) {
      const real = world.operatorKube[verb].bind(world.kube) as (...args: unknown[]) => unknown;
      Object.assign(world.operatorKube, { [verb]: (...args: unknown[]) => (calls.push(verb), real(...args)) });
    }
    world.node.bootMs = 50_000;
    world.node.beforeLoad = () => void calls.push('load');
    const answering = world.operator.claims
      .claim('default', 'nodejs', aClaim('c1'), never)
      .then(() => calls.push('answered'));
    await world.run(answering);
    const before = calls.slice(0, calls.indexOf('answered')).filter((call) => call !== 'load');
    expect(before.filter((call) => call === 'patch')).toHaveLength(1);
    expect(before.filter((call) => call === 'get' || call === 'list')).toEqual([]);
  });

  it('names the pool’s Secret in what the grant signs, and its pool says when that Secret is missing', async () => {
    const code = { credentials: { secretName: 'code' }, store: 's3://bucket?endpoint=https://s3.example.com' };
    const world = await filled({ code });
    await claim(world, 'c1');
    const access = { namespace: 'default', secretName: 'code', store: code.store };
    const { grant } = world.node.loads[0] ?? {};
    expect(grant?.access).toEqual(access);
    const { signature, ...signed } = grant ?? Object.assign({}, grant);
    const sign = (payload: string): string => createHmac('sha256', Buffer.alloc(32, 7)).update(payload).digest('hex');
    expect(signature).toBe(sign(grantPayload(loadGrantSchema.omit({ signature: true }).parse(signed))));

    const words = 'Secret code in namespace default does not exist';
    world.node.beforeLoad = () => {
      throw new HostAgentError(502, 'CredentialsMissing', words);
    };
    expect(await refusal(claim(world, 'c2'))).toMatchObject({
      code: 'CredentialsMissing',
      statusCode: 502,
      message: words,
    });
    await world.clock.advance(1_000);
    expect(world.cluster.snapshot(EVENTS_RESOURCE)).toContainEqual(
      expect.objectContaining({
        reason: 'CredentialsMissing',
        note: `A claim failed: ${words}`,
        regarding: expect.objectContaining({ kind: 'WarmPool', name: 'nodejs' }) as object,
      }),
    );
  });

  it('sent 50 times at once with one id gives one instance and 50 equal answers', async () => {
    const world = await filled();
    const answers = await world.run(
      Promise.all(
        Array.from({ length: 50 }, () => world.operator.claims.claim('default', 'nodejs', aClaim('same'), never)),
      ),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(world.node.loads).toHaveLength(1);
  });

  it('with a known id and another body is refused with 409, env values included', async () => {
    const world = await filled();
    await claim(world, 'c1', { env: { A: '1' } });
    expect(await refusal(claim(world, 'c1', { handler: 'other.handler' }))).toMatchObject({
      code: 'ClaimConflict',
      statusCode: 409,
    });
    expect(await refusal(claim(world, 'c1', { env: { A: '2' } }))).toMatchObject({ code: 'ClaimConflict' });
  });

  it('hands each of many claims a pod of its own', async () => {
    const world = await filled({ replicas: 20 }, 20);
    const ids = Array.from({ length: 20 }, (_, index) => `c${index}`);
    const answers = await world.run(
      Promise.all(ids.map((id) => world.operator.claims.claim('default', 'nodejs', aClaim(id), never))),
    );
    expect(new Set(answers.map((answer) => answer.pod?.uid)).size).toBe(20);
  });

  it('goes on with another pod when the write is refused, and never uses the first again', async () => {
    const world = await filled();
    const patch = world.kube.patch.bind(world.kube);
    let refusals = 1;
    world.operatorKube.patch = (...args) =>
      args[0] === PODS && refusals-- > 0
        ? Promise.reject(new KubeError(500, 'InternalError', 'etcd is slow'))
        : patch(...args);
    const answer = await claim(world, 'c1');
    expect(answer.state).toBe('ready');
    const [first, second] = world.node.loads;
    expect(second?.grant.podUid).toBe(answer.pod?.uid);
    expect(first?.grant.podUid).not.toBe(answer.pod?.uid);
    expect(world.node.killed).toContain(first?.grant.podUid);
    await world.clock.advance(5_000);
    expect(world.pods().some((pod) => pod.metadata.uid === first?.grant.podUid)).toBe(false);
  });

  it('goes on with another pod when the pod dies under the load', async () => {
    const world = await filled();
    let deaths = 1;
    world.node.beforeLoad = () => {
      if (deaths-- > 0) throw new HostAgentError(502, 'PodLost', 'the process ended');
    };
    expect((await claim(world, 'c1')).state).toBe('ready');
    expect(world.node.loads).toHaveLength(2);
  });

  it('answers a fault of the user code at once, with phase and stack, and wastes one pod only', async () => {
    const world = await filled();
    world.node.beforeLoad = () => {
      throw new HostAgentError(422, 'UserCodeError', 'boom', {
        phase: 'import',
        userStack: 'Error: boom\n at index.js:1',
      });
    };
    expect(await refusal(claim(world, 'c1'))).toMatchObject({
      code: 'UserCodeError',
      statusCode: 422,
      phase: 'import',
      message: 'boom',
    });
    expect(world.node.loads).toHaveLength(1);
    await world.untilStandby('nodejs', 3);
    expect(world.pods()).toHaveLength(3);
  });

  it('on a pool that is not there is refused with 404, and on one the cache has not seen it is served', async () => {
    const world = await filled();
    const unknown = world.run(world.operator.claims.claim('default', 'nobody', aClaim('c1'), never));
    expect(await refusal(unknown)).toMatchObject({
      code: 'PoolNotFound',
      statusCode: 404,
      message: 'there is no pool nobody in namespace default',
    });
  });

  it('waits for the refill when nothing is standby, and says how long it waited', async () => {
    const world = await filled({ replicas: 1 }, 1);
    world.node.bootMs = 400;
    await claim(world, 'c1');
    const second = await claim(world, 'c2');
    expect(second.timings?.queueMs).toBeGreaterThan(300);
  });

  it('that waits longer than the pool allows is refused with 429 and Retry-After', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0, claims: { maxWaitSeconds: 2 } })]);
    expect(await refusal(claim(world, 'c1'))).toMatchObject({
      code: 'PoolEmpty',
      statusCode: 429,
      retryAfterSeconds: expect.any(Number),
    });
  });

  it('whose own deadline passes in the queue is answered 504', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0 })]);
    expect(await refusal(claim(world, 'c1', { deadlineMs: 500 }))).toMatchObject({
      code: 'ClaimDeadlineExceeded',
      statusCode: 504,
    });
  });

  it('is refused when the queue is at its bound', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0, claims: { queueLength: 1 } })]);
    const waiting = world.operator.claims.claim('default', 'nodejs', aClaim('c1'), never).catch(() => undefined);
    expect(await refusal(claim(world, 'c2'))).toMatchObject({ code: 'QueueFull', statusCode: 429 });
    await world.run(waiting);
  });

  it('is refused at once by a pool that rejects', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0, claims: { onEmpty: 'Reject' } })]);
    expect(await refusal(claim(world, 'c1'))).toMatchObject({ code: 'PoolEmpty', statusCode: 429 });
  });

  it('gets a cold pod of its own from a pool that starts cold', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0, claims: { onEmpty: 'Cold' } })]);
    const answer = await claim(world, 'c1');
    expect(answer).toMatchObject({ state: 'ready', source: 'cold' });
    expect(world.pods()).toHaveLength(1);
  });

  it('whose client goes away in the queue leaves nothing behind', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0 })]);
    const client = new AbortController();
    const waiting = world.operator.claims
      .claim('default', 'nodejs', aClaim('c1'), client.signal)
      .catch((error: unknown) => error);
    await world.clock.advance(100);
    client.abort();
    expect(await world.run(waiting)).toMatchObject({ code: 'ClaimAbandoned' });
    await world.clock.advance(20_000);
    expect([...world.operator.ledger.entries()]).toEqual([]);
  });

  it('whose client goes away under the load keeps its instance for a quick retry, and loses it after a moment', async () => {
    const world = await filled();
    world.node.loadMs = 200;
    const abandon = async (id: string): Promise<void> => {
      const client = new AbortController();
      const call = world.operator.claims.claim('default', 'nodejs', aClaim(id), client.signal).catch(() => undefined);
      await world.clock.advance(50);
      client.abort();
      await world.run(call);
    };
    await abandon('retried');
    const answer = await claim(world, 'retried');
    expect(world.node.loads).toHaveLength(1);
    await abandon('given-up');
    await world.clock.advance(30_000);
    const alive = world.pods().filter((pod) => pod.metadata.labels?.['warmpool.dev/state'] === 'claimed');
    expect(alive.map((pod) => pod.metadata.uid)).toEqual([answer.pod?.uid]);
  });

  it('is not served by a pod that somebody has labelled by hand', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0, claims: { maxWaitSeconds: 1 } })]);
    await world.kube.create(PODS, 'default', {
      metadata: { name: 'stranger', labels: { 'warmpool.dev/pool': 'nodejs', 'warmpool.dev/state': 'standby' } },
      spec: { containers: [{ name: 'x', image: 'x' }] },
    } as never);
    await world.clock.advance(1_000);
    expect(await refusal(claim(world, 'c1'))).toMatchObject({ code: 'PoolEmpty' });
  });
});

describe('a release', () => {
  it('kills and deletes the instance; a late retry of the claim is told so', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    await world.run(world.operator.claims.release('default', 'c1'));
    await world.clock.advance(1_000);
    expect(world.pods().some((pod) => pod.metadata.uid === answer.pod?.uid)).toBe(false);
    expect(await refusal(claim(world, 'c1'))).toMatchObject({ code: 'ClaimReleased', statusCode: 410 });
  });

  it('twice is the same as once, and of an unknown claim is 404', async () => {
    const world = await filled();
    await claim(world, 'c1');
    await world.run(world.operator.claims.release('default', 'c1'));
    expect((await world.run(world.operator.claims.release('default', 'c1'))).state).toBe('released');
    expect(await refusal(world.run(world.operator.claims.release('default', 'c9')))).toMatchObject({
      code: 'ClaimNotFound',
      statusCode: 404,
    });
  });

  it('with keep-warm gives the instance to the next claim of the same function and tenant, without a load', async () => {
    const world = await filled();
    const first = await claim(world, 'c1', { env: { A: '1' } });
    await world.run(world.operator.claims.release('default', 'c1', 30_000));
    const second = await claim(world, 'c2', { env: { A: '1' } });
    expect(second).toMatchObject({ source: 'reused', pod: { uid: first.pod?.uid } });
    expect(world.node.loads).toHaveLength(1);
  });

  it('with keep-warm gives it to nobody else: another tenant, version or env gets a pod of its own', async () => {
    const world = await filled({ replicas: 5 }, 5);
    const first = await claim(world, 'c1', { env: { A: '1' } });
    await world.run(world.operator.claims.release('default', 'c1', 30_000));
    const others = [
      await claim(world, 'c2', { env: { A: '1' }, function: { name: 'hello', version: '1', tenant: 'other' } }),
      await claim(world, 'c3', { env: { A: '1' }, function: { name: 'hello', version: '2', tenant: 'acme' } }),
      await claim(world, 'c4', { env: { A: '2' } }),
    ];
    for (const other of others) expect(other).toMatchObject({ source: 'standby' });
    expect(others.map((other) => other.pod?.uid)).not.toContain(first.pod?.uid);
  });

  it('with keep-warm ends the instance when nobody wanted it', async () => {
    const world = await filled();
    const first = await claim(world, 'c1');
    await world.run(world.operator.claims.release('default', 'c1', 30_000));
    await world.clock.advance(29_000);
    expect(world.pods().some((pod) => pod.metadata.uid === first.pod?.uid)).toBe(true);
    await world.clock.advance(3_000);
    expect(world.pods().some((pod) => pod.metadata.uid === first.pod?.uid)).toBe(false);
  });
});

describe('an instance', () => {
  it('ends after its time to live and after its idle time', async () => {
    const world = await filled({ replicas: 2 }, 2);
    await claim(world, 'short', { ttlSeconds: 5 });
    await claim(world, 'idle', { idleTimeoutSeconds: 10 });
    await world.clock.advance(7_000);
    expect(world.operator.ledger.get('default', 'short')?.claim.state).toBe('released');
    expect(world.operator.ledger.get('default', 'idle')?.claim.state).toBe('ready');
    await world.clock.advance(5_000);
    expect(world.operator.ledger.get('default', 'idle')?.claim.state).toBe('released');
  });

  it('that dies is not reported ready, and its claim id does not start another one', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    world.node.report(answer.pod?.uid ?? '', {
      state: 'failed',
      lastError: { code: 'Crash', message: 'the process was killed by signal 9' },
    });
    await world.clock.advance(100);
    expect(world.operator.queries.get('default', 'c1')).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('signal 9') },
    });
    expect(await refusal(claim(world, 'c1'))).toMatchObject({ code: 'InstanceLost', statusCode: 410 });
  });

  it('whose container restarted is not reported ready', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    await world.kube.patchStatus(PODS, 'default', answer.pod?.name ?? '', {
      status: { containerStatuses: [{ name: 'runtime', restartCount: 1, ready: true }] },
    });
    await world.clock.advance(100);
    expect(world.operator.queries.get('default', 'c1').state).toBe('failed');
  });
});

describe('after a crash of the operator', () => {
  it('a retried claim gets the instance that it had', async () => {
    const world = await filled();
    const before = await claim(world, 'c1');
    await world.restartOperator();
    const after = await claim(world, 'c1');
    expect(after).toMatchObject({ state: 'ready', pod: before.pod, address: before.address });
    expect(world.node.loads).toHaveLength(1);
  });

  it('a claim keeps the instance that it was answered with, not a pod that it had tried before', async () => {
    const world = await filled({}, 3);
    const tried = world.pods();
    const before = await claim(world, 'c1');
    const instance = world.pods().find(({ metadata }) => metadata.uid === before.pod?.uid);
    for (const pod of tried.filter(({ metadata }) => metadata.uid !== before.pod?.uid)) {
      world.node.report(pod.metadata.uid, { state: 'failed', claimId: 'c1' });
      await world.kube.patch(PODS, 'default', pod.metadata.name, {
        metadata: {
          labels: { 'warmpool.dev/state': 'claimed', 'warmpool.dev/claim': 'c1' },
          annotations: instance?.metadata.annotations ?? {},
        },
      });
    }
    await world.restartOperator();
    await world.clock.advance(5_000);
    expect(await claim(world, 'c1')).toMatchObject({ state: 'ready', pod: before.pod });
    const left = world.pods().map(({ metadata }) => metadata.uid);
    expect(tried.filter(({ metadata }) => left.includes(metadata.uid))).toHaveLength(1);
  });

  it('between write and load, the half-claimed pod is deleted and the retry gets another', async () => {
    const world = await filled();
    const [pod] = world.pods();
    const record = { claimId: 'c1' };
    await world.kube.patch(PODS, 'default', pod?.metadata.name ?? '', {
      metadata: {
        labels: { 'warmpool.dev/state': 'claimed', 'warmpool.dev/claim': 'c1' },
        annotations: { 'warmpool.dev/claim-record': JSON.stringify(record) },
      },
    });
    await world.restartOperator();
    const answer = await claim(world, 'c1');
    expect(answer.pod?.uid).not.toBe(pod?.metadata.uid);
    await world.clock.advance(5_000);
    expect(world.pods().some((each) => each.metadata.uid === pod?.metadata.uid)).toBe(false);
  });

  it('between load and write, the loaded pod is replaced and never handed out', async () => {
    const world = await filled();
    const [pod] = world.pods();
    world.node.report(pod?.metadata.uid ?? '', { state: 'ready', claimId: 'c1' });
    await world.restartOperator();
    await world.clock.advance(5_000);
    expect(world.pods().some((each) => each.metadata.uid === pod?.metadata.uid)).toBe(false);
    expect(world.pods()).toHaveLength(3);
  });
});

describe('a pool', () => {
  it('replaces a standby pod that dies', async () => {
    const world = await filled();
    const [pod] = world.pods();
    world.node.report(pod?.metadata.uid ?? '', { state: 'failed' });
    await world.clock.advance(5_000);
    expect(world.pods().map((each) => each.metadata.uid)).not.toContain(pod?.metadata.uid);
    expect(world.operator.inventory.index.size('default/nodejs')).toBe(3);
  });

  it('scales up and down, and never touches claimed pods', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    await world.kube.patch(WARM_POOLS, 'default', 'nodejs', { spec: { replicas: 5 } });
    await world.untilStandby('nodejs', 5);
    await world.kube.patch(WARM_POOLS, 'default', 'nodejs', { spec: { replicas: 0 } });
    await world.clock.advance(5_000);
    expect(world.pods().map((pod) => pod.metadata.uid)).toEqual([answer.pod?.uid]);
  });

  it('that is deleted takes its standby pods along and leaves instances alone', async () => {
    const world = await filled();
    const answer = await claim(world, 'c1');
    await world.kube.delete(WARM_POOLS, 'default', 'nodejs');
    await world.clock.advance(10_000);
    expect(world.pods().map((pod) => pod.metadata.uid)).toEqual([answer.pod?.uid]);
  });

  it('replaces pods of an old template one at a time, without ever being empty', async () => {
    const world = await filled();
    const before = new Set(world.pods().map((pod) => pod.metadata.uid));
    await world.kube.patch(WARM_POOLS, 'default', 'nodejs', {
      spec: { template: { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24.1' }] } } },
    });
    let least = 3;
    for (let i = 0; i < 200; i++) {
      await world.clock.advance(10);
      least = Math.min(least, world.operator.inventory.index.size('default/nodejs'));
    }
    await world.untilStandby('nodejs', 3);
    expect(least).toBeGreaterThanOrEqual(1);
    expect(world.pods().some((pod) => before.has(pod.metadata.uid))).toBe(false);
  });

  it('that is as it should be is not written to again', async () => {
    const world = await filled();
    await world.clock.advance(5_000);
    const version = world.cluster.version;
    await world.clock.advance(600_000);
    expect(world.cluster.version).toBe(version);
  });

  it('shows in its conditions why pods do not come, in the words of the apiserver', async () => {
    const world = await OperatorWorld.start([aPool('nodejs', { replicas: 0 })]);
    world.operatorKube.create = () => Promise.reject(new KubeError(403, 'Forbidden', 'exceeded quota: pods=10'));
    await world.kube.patch(WARM_POOLS, 'default', 'nodejs', { spec: { replicas: 2 } });
    await world.clock.advance(10_000);
    const pool = await world.kube.get(WARM_POOLS, 'default', 'nodejs');
    expect(pool).toMatchObject({
      status: {
        conditions: expect.arrayContaining([
          expect.objectContaining({
            ...{ type: 'Stalled', status: 'True', reason: 'QuotaExceeded' },
            message: expect.stringMatching(/^exceeded quota: pods=10; /) as string,
          }),
        ]),
      },
    });
  });
});
