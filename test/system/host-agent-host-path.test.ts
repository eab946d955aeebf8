import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from '@warmpool/host-agent/testing/fake-agent.ts';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';

const missing = missingForMounts();
if (missing !== undefined) process.stdout.write(`skipped: volumes by hostPath: ${missing}\n`);

let node: CsiNode;
beforeEach(async () => {
  if (missing === undefined) node = await CsiNode.start();
});
afterEach(async () => {
  if (missing === undefined) await node.close();
});

/** What a kubelet does for `hostPath` with `subPathExpr`: a folder in the host's, and a mount of it that the container gets. */
async function startPod(podUid: string): Promise<{ agent: FakeAgent; subPath: string }> {
  const subPath = join(node.kubelet.dir, 'pods', podUid, 'volume-subpaths', 'warmpool');
  mkdirSync(subPath, { recursive: true });
  const folder = join(node.hostPathDir, podUid);
  node.namespace.run('mkdir', '--mode=777', folder);
  node.namespace.run('mount', '--bind', folder, subPath);
  return { agent: await node.agent(podUid, folder), subPath };
}

describe.skipIf(missing !== undefined)('volumes by hostPath', () => {
  test('carry code as read-only as CSI does, outlive the host-agent, and go with the pod', async () => {
    const flags = ['--host-path-dir', node.hostPathDir];
    const first = await node.host(flags);
    const { agent, subPath } = await startPod('pod-1');
    await (await first.events()).podState('pod-1', 'standby');
    expect(await first.load(agent, node.node.stored('a.tar'))).toMatchObject({ statusCode: 200 });
    const seenByPod = node.outside(join(subPath, 'code', 'index.js'));
    expect(readFileSync(seenByPod, 'utf8')).toContain('exports.handler');
    expect(() => writeFileSync(seenByPod, 'x')).toThrow(/EROFS/);

    await first.end('SIGKILL');
    const second = await node.host(flags);
    const events = await second.events();
    await events.podState('pod-1', 'ready');
    expect(node.namespace.mountsWithin(node.hostPathDir)).toHaveLength(2);
    expect((await second.request('GET', '/v1/cache')).body).toMatchObject({ entries: [{ inUse: 1 }] });

    // the container ends; the kubelet cannot unmount while code is in there, so it asks until it can
    await agent.crash();
    await events.podState('pod-1', 'failed');
    await expect.poll(() => isUnmounted(subPath), { timeout: 10_000 }).toBe(true);
    node.kubelet.forgetPod('pod-1');
    await events.until((event) => event.type === 'POD_GONE');
    await expect
      .poll(async () => (await second.request('GET', '/v1/cache')).body)
      .toMatchObject({ entries: [{ inUse: 0 }] });
    expect(readdirSync(node.outside(node.hostPathDir))).toEqual([]);
    expect(existsSync(join(node.folder, 'pods', 'pod-1'))).toBe(false);
  });

  test('of pods that were removed while no host-agent ran are removed by the next one', async () => {
    const flags = ['--host-path-dir', node.hostPathDir];
    const first = await node.host(flags);
    const { agent, subPath } = await startPod('pod-1');
    await (await first.events()).podState('pod-1', 'standby');
    expect(await first.load(agent, node.node.stored('a.tar'))).toMatchObject({ statusCode: 200 });
    await first.end('SIGKILL');
    await node.endAgent('pod-1');
    node.namespace.run('umount', '--recursive', subPath);
    node.kubelet.forgetPod('pod-1');
    await node.host(flags);
    expect(readdirSync(node.outside(node.hostPathDir))).toEqual([]);
    expect(node.namespace.mountsWithin(node.hostPathDir)).toHaveLength(1);
  });
});

function isUnmounted(path: string): boolean {
  try {
    node.namespace.run('umount', path);
    return true;
  } catch {
    return false;
  }
}
