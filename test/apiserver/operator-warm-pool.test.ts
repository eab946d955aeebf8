import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { isClaimed, isStandbyLabelled, isTerminating, templateHashOf } from '@warmpool/operator/core/pod-view.ts';
import { PODS, WARM_POOLS } from '@warmpool/operator/core/resources.ts';
import { aClaimInput, aPool } from '../support/builders.ts';
import { callsBetween, countApiCalls } from './stand-in/api-calls.ts';
import type { OperatorProcess } from './stand-in/operator-process.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const API = '/apis/warmpool.dev/v1alpha1';
const MERGE_PATCH = { 'content-type': 'application/merge-patch+json' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
const QUIET_MS = 30_000;
const LIMIT_MS = 30_000;

describe.skipIf(access === undefined)('the life of a WarmPool on the real apiserver', () => {
  let world: StandInWorld;
  let operator: OperatorProcess;
  beforeAll(async () => {
    world = await StandInWorld.start(access);
    operator = await world.startOperator();
    await operator.untilServing();
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  const path = (pool: string, rest = ''): string => `${API}/namespaces/${world.namespace}/warmpools/${pool}${rest}`;
  const filled = async (name: string, replicas: number): Promise<void> => {
    await world.createPool(aPool(name, { replicas }));
    await world.untilFull(name, replicas);
  };
  const claim = (pool: string, id: string) =>
    world.claims.claim(operator.url, world.namespace, pool, aClaimInput(id, { deadlineMs: 5_000 }));

  test('a new pool fills with pods that it owns, and says so in status, conditions and columns', async () => {
    await filled('new', 3);
    const pool = await world.pool('new');
    expect(pool.status).toMatchObject({
      observedGeneration: pool.metadata.generation,
      replicas: 3,
      readyReplicas: 3,
      updatedReplicas: 3,
      updatedReadyReplicas: 3,
      claimedReplicas: 0,
      selector: 'warmpool.dev/pool=new,warmpool.dev/state=standby,!warmpool.dev/claim',
    });
    const told = new Map(pool.status?.conditions?.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
    expect(Object.fromEntries(told)).toEqual({
      Ready: 'True PoolFull',
      Progressing: 'False Complete',
      Stalled: 'False NotStalled',
    });
    for (const pod of await world.standbyPods('new')) {
      expect(pod.metadata.ownerReferences).toMatchObject([
        { kind: 'WarmPool', name: 'new', uid: pool.metadata.uid, controller: true },
      ]);
    }
    const { body } = await world.admin.send('GET', path('new'), undefined, TABLE);
    const columns = (body['columnDefinitions'] as { name: string }[]).map((column) => column.name);
    const [row] = body['rows'] as { cells: unknown[] }[];
    const cells = Object.fromEntries(columns.map((column, index) => [column, row?.cells[index]]));
    expect(cells).toMatchObject({ Name: 'new', Runtime: 'nodejs', Version: '24', Desired: 3, Standby: 3 });
  });

  test('the selector in the status finds the standby pods and no claimed one', async () => {
    await filled('selected', 2);
    expect((await claim('selected', 'selected-1')).status).toBe(201);
    await world.untilFull('selected', 2);
    const scale = await world.admin.send('GET', path('selected', '/scale'));
    const { selector, replicas } = scale.body['status'] as { selector: string; replicas: number };
    const { items } = await world.kube.list(PODS, world.namespace, { labelSelector: selector });
    const standby = await world.standbyPods('selected');
    expect(new Set(items.map(({ metadata }) => metadata.uid))).toEqual(new Set(standby.map((pod) => pod.metadata.uid)));
    expect(replicas).toBe(2);
    expect((await world.pool('selected')).status?.claimedReplicas).toBe(1);
  });

  test('the scale subresource makes it larger and smaller, and a claimed pod does not go with the rest', async () => {
    await filled('scaled', 2);
    expect((await claim('scaled', 'scaled-1')).status).toBe(201);
    for (const replicas of [6, 1, 0]) {
      const { status } = await world.admin.send('PATCH', path('scaled', '/scale'), { spec: { replicas } }, MERGE_PATCH);
      expect(status).toBe(200);
      await world.untilFull('scaled', replicas);
      await until('as many pods', LIMIT_MS, async () => (await world.standbyPods('scaled')).length === replicas);
    }
    expect((await world.claims.get(operator.url, world.namespace, 'scaled-1')).claim?.state).toBe('ready');
    await until('removed pods to be gone', LIMIT_MS, async () => (await world.pods('scaled')).length === 1);
  });

  test('a new template replaces the standby pods a few at a time, and leaves a claimed one alone', async () => {
    await filled('rolled', 4);
    const claimed = await claim('rolled', 'rolled-1');
    expect(claimed.status).toBe(201);
    await world.untilFull('rolled', 4);
    const old = new Set((await world.standbyPods('rolled')).map((pod) => pod.metadata.uid));
    const template = { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-nodejs:next' }] } };
    await world.kube.patch(WARM_POOLS, world.namespace, 'rolled', { spec: { template } });

    let fewest = Infinity;
    await until('all pods to be of the new template', LIMIT_MS, async () => {
      const { metadata, status } = await world.pool('rolled');
      fewest = Math.min(fewest, (await world.standbyPods('rolled')).length);
      const isCurrent = status?.observedGeneration === metadata.generation;
      return isCurrent && status?.updatedReadyReplicas === 4 && status.replicas === 4;
    });
    expect(fewest).toBeGreaterThanOrEqual(3);
    const pods = await world.standbyPods('rolled');
    expect(pods.map((pod) => pod.metadata.uid).filter((uid) => old.has(uid))).toEqual([]);
    expect(new Set(pods.map(templateHashOf)).size).toBe(1);
    expect(pods[0]?.spec.containers[0]?.image).toBe('warmpool.dev/runtime-nodejs:next');
    const instance = await world.kube.get(PODS, world.namespace, claimed.claim?.pod?.name ?? '');
    expect(instance.metadata.deletionTimestamp).toBeUndefined();
  });

  test('a standby pod that somebody deletes is replaced', async () => {
    await filled('deleted', 2);
    const [victim] = await world.standbyPods('deleted');
    await world.kube.delete(PODS, world.namespace, victim?.metadata.name ?? '');
    await until('another pod in its place', LIMIT_MS, async () => {
      const pods = await world.standbyPods('deleted');
      return pods.length === 2 && pods.every((pod) => pod.metadata.uid !== victim?.metadata.uid);
    });
    await world.untilFull('deleted', 2);
  });

  test('a claimed pod that somebody deletes fails its claim, for good', async () => {
    await filled('lost', 2);
    const claimed = await claim('lost', 'lost-1');
    await world.kube.delete(PODS, world.namespace, claimed.claim?.pod?.name ?? '');
    const state = async (): Promise<unknown> =>
      (await world.claims.get(operator.url, world.namespace, 'lost-1')).claim?.error?.code;
    await until('the claim to be reported as failed', LIMIT_MS, async () => (await state()) === 'InstanceLost');
    const again = await claim('lost', 'lost-1');
    expect([again.status, again.error?.code]).toEqual([410, 'InstanceLost']);
    expect((await claim('lost', 'lost-2')).status).toBe(201);
  });

  test('a template that the apiserver refuses shows in the Stalled condition, and the next one that works ends it', async () => {
    const template = { spec: { containers: [{ name: 'Not a name', image: 'none' }] } };
    await world.createPool(aPool('refused', { replicas: 2, template }));
    const stalled = async (): Promise<{ status?: string; reason?: string; message?: string }> =>
      (await world.pool('refused')).status?.conditions?.find(({ type }) => type === 'Stalled') ?? {};
    await until('the condition', LIMIT_MS, async () => (await stalled()).status === 'True');
    expect(await stalled()).toMatchObject({ reason: 'TemplateInvalid' });
    expect((await stalled()).message).toContain('containers[0].name');
    const good = { spec: { containers: [{ name: 'runtime', image: 'none' }] } };
    await world.kube.patch(WARM_POOLS, world.namespace, 'refused', { spec: { template: good } });
    await world.untilFull('refused', 2);
    await until('the condition to end', LIMIT_MS, async () => (await stalled()).status === 'False');
  });

  /**
   * In a cluster the garbage collector then deletes the standby pods, which the pool owns, and leaves the claimed ones, which it does not.
   * No controller-manager runs here, so this looks at what the operator itself does.
   */
  test('a deleted pool gives no more pods, makes no more, and leaves its instances running', async () => {
    await filled('gone', 2);
    expect((await claim('gone', 'gone-1')).status).toBe(201);
    await world.untilFull('gone', 2);
    const before = (await world.pods('gone')).map((pod) => pod.metadata.uid).sort();
    await world.kube.delete(WARM_POOLS, world.namespace, 'gone');
    await until('claims to be refused', LIMIT_MS, async () => {
      const { status, error } = await claim('gone', `gone-${crypto.randomUUID()}`);
      return status === 404 && error?.code === 'PoolNotFound';
    });
    const instance = (await world.pods('gone')).find(isClaimed);
    expect(instance?.metadata.ownerReferences ?? []).toEqual([]);
    const [standby] = await world.standbyPods('gone');
    // as the garbage collector would: nothing takes its place
    await world.kube.delete(PODS, world.namespace, standby?.metadata.name ?? '');
    await until('the pod to be gone', LIMIT_MS, async () => {
      const pods = await world.pods('gone');
      return pods.every((pod) => pod.metadata.uid !== standby?.metadata.uid);
    });
    await delay(1_000);
    const after = (await world.pods('gone')).map((pod) => pod.metadata.uid).sort();
    expect(after).toEqual(before.filter((uid) => uid !== standby?.metadata.uid));
    expect((await world.claims.get(operator.url, world.namespace, 'gone-1')).claim?.state).toBe('ready');
  });

  test('when nothing changes, nothing is written', { timeout: 120_000 }, async () => {
    await filled('quiet', 3);
    const settled = async (): Promise<boolean> =>
      (await world.pods()).every((pod) => !isTerminating(pod) && (isStandbyLabelled(pod) || isClaimed(pod)));
    await until('everything before to have settled', LIMIT_MS, settled);
    await delay(2_000);
    const versions = async (): Promise<string[]> => {
      const { items } = await world.kube.list(WARM_POOLS, world.namespace);
      return [...items, ...(await world.pods())].map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
    };
    const [versionsBefore, callsBefore] = [await versions(), await countApiCalls(world.admin)];
    await delay(QUIET_MS);
    const writes = Object.entries(callsBetween(callsBefore, await countApiCalls(world.admin))).filter(([call]) =>
      /^(POST|PUT|PATCH|DELETE|DELETECOLLECTION) (pods|warmpools|warmpoolclaims|events|secrets)/.test(call),
    );
    expect(writes).toEqual([]);
    expect(await versions()).toEqual(versionsBefore);
    expect(world.kubelet.failures).toEqual([]);
  });
});
