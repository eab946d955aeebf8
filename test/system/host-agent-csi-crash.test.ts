import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from '@warmpool/host-agent/testing/fake-agent.ts';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import type { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { Prng } from '../sim/prng.ts';
import { isAlive } from '../support/run-processes.ts';

const missing = missingForMounts();
if (missing !== undefined) process.stdout.write(`skipped: crashes of a CSI node plugin: ${missing}\n`);
const ROUNDS = 50;
const MAX_KILL_DELAY_MS = 30;
const MANY = new Set(['code-3.tar', 'code-4.tar']);

/** What a kubelet and an operator want of a pod, and how far they know it to be. */
interface Pod {
  uid: string;
  phase: 'publishing' | 'standby' | 'loading' | 'loaded' | 'removing';
  agent?: FakeAgent;
  key: string;
}

let node: CsiNode;
beforeEach(async () => {
  if (missing === undefined) node = await CsiNode.start();
});
afterEach(async () => {
  if (missing === undefined) await node.close();
});

async function publish(pod: Pod): Promise<void> {
  await node.kubelet.publish(pod.uid);
  pod.agent ??= await node.agent(pod.uid, node.kubelet.target(pod.uid));
  pod.phase = 'standby';
}

async function remove(pod: Pod, pods: Map<string, Pod>): Promise<void> {
  pod.phase = 'removing';
  await node.removePod(pod.uid);
  pods.delete(pod.uid);
}

const sourceOf = ({ key }: Pod): string => `exports.handler = '${key}'`;

async function load(host: HostAgentProcess, pod: Pod): Promise<void> {
  if (pod.agent === undefined) return;
  pod.phase = 'loading';
  // half of them are more than one keeps as a folder
  const files = MANY.has(pod.key) ? 200 : 1;
  const { statusCode } = await host.load(pod.agent, node.node.stored(pod.key, sourceOf(pod), files));
  if (statusCode === 200) pod.phase = 'loaded';
}

function checkCode(pod: Pod | undefined): void {
  if (pod?.agent === undefined) return;
  const code = join(pod.agent.folder, 'code');
  expect(readFileSync(join(code, 'index.js'), 'utf8')).toBe(sourceOf(pod));
  if (MANY.has(pod.key)) expect(readFileSync(join(code, 'lib/150.js'), 'utf8')).toBe(`${sourceOf(pod)} 150`);
}

/** No mount but those of pods that are wanted; no code but in pods that were loaded; no record of anything else. */
function checkNothingLeaks(pods: Map<string, Pod>): void {
  const found = node.volumeMounts().map(({ mountPoint }) => mountPoint);
  expect(new Set(found).size, `nothing is mounted twice: ${found.join(', ')}`).toBe(found.length);
  const allowed = new Set<string>();
  for (const { uid, phase } of pods.values()) {
    const volume = `${uid}/volumes/kubernetes.io~csi/warmpool/mount`;
    allowed.add(volume);
    if (phase === 'loading' || phase === 'loaded' || phase === 'removing') allowed.add(`${volume}/code`);
    if (phase === 'standby' || phase === 'loading' || phase === 'loaded') expect(found).toContain(volume);
    if (phase === 'loaded') expect(found).toContain(`${volume}/code`);
    if (phase === 'loaded') checkCode(pods.get(uid));
  }
  expect(found.filter((path) => !allowed.has(path))).toEqual([]);
  const records = readdirSync(join(node.folder, 'pods')).filter((name) => !name.startsWith('.'));
  expect(records.filter((uid) => !pods.has(uid))).toEqual([]);
}

async function checkAdopted(host: HostAgentProcess, pods: Map<string, Pod>): Promise<void> {
  const events = await host.events();
  for (const { uid, phase } of pods.values()) {
    if (phase === 'standby') await events.podState(uid, 'standby');
    if (phase === 'loaded') await events.podState(uid, 'ready');
  }
  await events.close();
  const { body } = await host.request<{ entries: { inUse: number }[] }>('GET', '/v1/cache');
  const inUse = body.entries.reduce((sum, entry) => sum + entry.inUse, 0);
  const loaded = [...pods.values()].filter(({ phase }) => phase === 'loaded').length;
  const mounted = node.volumeMounts().filter(({ mountPoint }) => mountPoint.endsWith('/code')).length;
  expect(inUse).toBeGreaterThanOrEqual(loaded);
  expect(inUse, 'what is mounted is pinned, and nothing else').toBe(mounted);
}

function helperOf(host: HostAgentProcess): number[] {
  const { pid } = host.child;
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

describe.skipIf(missing !== undefined)('a host-agent that dies', () => {
  test(`between publish, deliver and unpublish leaks nothing and finds its pods again, ${ROUNDS} times`, async () => {
    const seed = process.env['SEED'] ?? String(Date.now());
    process.stdout.write(`host-agent-csi-crash: SEED=${seed}\n`);
    const random = new Prng(seed);
    const pods = new Map<string, Pod>();
    let nextPod = 1;
    for (let round = 1; round <= ROUNDS; round++) {
      const host = await node.host();
      for (const pod of [...pods.values()]) {
        // the kubelet asks again until it is told that it is done; a pod whose load broke off is deleted
        if (pod.phase === 'publishing') await publish(pod);
        else if (pod.phase === 'loading' || pod.phase === 'removing') await remove(pod, pods);
      }
      await checkAdopted(host, pods);
      checkNothingLeaks(pods);

      const work: Promise<void>[] = [];
      for (const pod of pods.values()) {
        if (pod.phase === 'standby' && random.chance(0.6)) work.push(load(host, pod));
        else if (random.chance(pods.size > 8 ? 0.6 : 0.2)) work.push(remove(pod, pods));
      }
      for (let count = random.int(1, 3); count > 0; count--) {
        const uid = `pod-${nextPod++}`;
        const pod: Pod = { uid, phase: 'publishing', key: `code-${random.int(1, 4)}.tar` };
        pods.set(uid, pod);
        work.push(publish(pod));
      }
      const settled = Promise.allSettled(work);
      await delay(random.next() * MAX_KILL_DELAY_MS);
      const helpers = helperOf(host);
      await host.end('SIGKILL');
      await settled;
      for (const pid of helpers) await expect.poll(() => isAlive(pid)).toBe(false);

      // now and then a pod is gone for good before the next host-agent is there to be asked
      const [lost] = [...pods.values()].filter(({ phase }) => phase === 'loaded');
      if (lost !== undefined && random.chance(0.2)) {
        await node.endAgent(lost.uid);
        node.namespace.run('umount', '-R', node.kubelet.target(lost.uid));
        node.kubelet.forgetPod(lost.uid);
        pods.delete(lost.uid);
      }
    }

    const host = await node.host();
    for (const pod of [...pods.values()]) await remove(pod, pods);
    checkNothingLeaks(pods);
    await checkAdopted(host, pods);
    expect(await host.end('SIGTERM')).toBe(0);
    expect(node.namespace.mountsWithin(node.folder).map(({ mountPoint }) => mountPoint)).toEqual(
      expect.not.arrayContaining([expect.stringContaining('staging')]),
    );
  }, 600_000);

  test('only in its mount helper answers every claim, and mounts nothing twice', async () => {
    const host = await node.host();
    const events = await host.events();
    const pods: Pod[] = Array.from({ length: 20 }, (_, index) => ({
      uid: `pod-${index}`,
      phase: 'publishing',
      key: 'code.tar',
    }));
    for (const pod of pods) await publish(pod);
    for (const pod of pods) await events.podState(pod.uid, 'standby');
    const [before = 0] = helperOf(host);
    const loads = pods.map((pod) => load(host, pod));
    // somewhere among twenty mounts
    await delay(2);
    process.kill(before, 'SIGKILL');
    await Promise.all(loads);
    expect(pods.filter(({ phase }) => phase !== 'loaded')).toEqual([]);
    checkNothingLeaks(new Map(pods.map((pod) => [pod.uid, pod])));
    const [after = 0] = helperOf(host);
    expect(after).not.toBe(before);
    const all = new Map(pods.map((pod) => [pod.uid, pod]));
    for (const pod of pods) await remove(pod, all);
    expect(node.volumeMounts()).toEqual([]);
  });

  test('and loses its records takes them up from the mount table', async () => {
    const first = await node.host();
    const pod: Pod = { uid: 'pod-1', phase: 'publishing', key: 'code.tar' };
    await publish(pod);
    await (await first.events()).podState(pod.uid, 'standby');
    await load(first, pod);
    await first.end('SIGKILL');
    node.namespace.run('rm', '-r', join(node.folder, 'pods', pod.uid));
    const second = await node.host(['--cache-bytes', '1']);
    await checkAdopted(second, new Map([[pod.uid, pod]]));
    expect(readFileSync(join(pod.agent?.folder ?? '', 'code', 'index.js'), 'utf8')).toContain('code.tar');
  });
});
