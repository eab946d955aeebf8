import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Prng } from '../sim/prng.ts';
import type { RpcFailed } from '@warmpool/host-agent/testing/kubelet-calls.ts';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { reply } from '@warmpool/host-agent/testing/fake-agent.ts';

const missing = missingForMounts();
if (missing !== undefined) process.stdout.write(`skipped: the host-agent as a CSI node plugin: ${missing}\n`);

let node: CsiNode;
beforeEach(async () => {
  if (missing === undefined) node = await CsiNode.start();
});
afterEach(async () => {
  if (missing === undefined) await node.close();
});

describe.skipIf(missing !== undefined)('the CSI services', () => {
  test('say what they are, and register with the kubelet', async () => {
    await node.host();
    const { kubelet } = node;
    expect(await kubelet.call('identity', 'GetPluginInfo')).toMatchObject({ name: 'code.warmpool.dev' });
    expect(await kubelet.call('identity', 'GetPluginCapabilities')).toEqual({ capabilities: [] });
    expect(await kubelet.call('identity', 'Probe')).toEqual({ ready: { value: true } });
    expect(await kubelet.call('node', 'NodeGetInfo')).toMatchObject({ node_id: 'node-1' });
    expect(await kubelet.call('node', 'NodeGetCapabilities')).toEqual({ capabilities: [] });
    await expect(kubelet.call('node', 'NodeStageVolume')).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
    expect(await kubelet.call('registration', 'GetInfo')).toEqual({
      type: 'CSIPlugin',
      name: 'code.warmpool.dev',
      endpoint: join(node.folder, 'csi.sock'),
      supported_versions: ['1.0.0'],
    });
    await kubelet.call('registration', 'NotifyRegistrationStatus', { plugin_registered: true });
    expect(statSync(join(node.folder, 'csi.sock')).mode & 0o777).toBe(0o600);
  });

  test('publish a volume in which an agent becomes standby, is loaded, and of which nothing is left', async () => {
    const host = await node.host();
    const pod = await node.publishedPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    expect(node.volumeMounts()).toMatchObject([{ fsType: 'tmpfs', source: 'code.warmpool.dev' }]);
    expect([...(node.volumeMounts()[0]?.options ?? [])]).toEqual(
      expect.arrayContaining(['nosuid', 'nodev', 'noexec', 'nosymfollow']),
    );

    const code = node.node.stored('hello.tar');
    const answer = await host.load(pod, code);
    // the host is the one that the agent said; the code has the path that the pod sees
    expect(answer).toMatchObject({ statusCode: 200, body: { address: { host: '10.9.8.7', port: 4000 } } });
    expect(pod.loads).toMatchObject([{ code: { path: '/run/warmpool/code', digest: code.digest } }]);
    expect(readFileSync(join(pod.folder, 'code', 'index.js'), 'utf8')).toContain('exports.handler');
    expect(() => writeFileSync(join(pod.folder, 'code', 'index.js'), 'x')).toThrow(/EROFS/);
    expect((await host.request('GET', '/v1/cache')).body).toMatchObject({ entries: [{ inUse: 1 }] });

    await node.removePod('pod-1');
    expect(node.volumeMounts()).toEqual([]);
    expect(node.kubelet.hasPod('pod-1')).toBe(false);
    await expect
      .poll(async () => (await host.request('GET', '/v1/cache')).body)
      .toMatchObject({ entries: [{ inUse: 0 }] });
    // and the cache still holds what it held
    const next = await node.publishedPod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    expect(await host.load(next, code)).toMatchObject({ statusCode: 200, body: { codeSource: 'cache' } });
  });

  test('show a pod what was prepared of its code, read-only, and take it away with the volume', async () => {
    const script = 'test "$(id -u)" = 65534 && test -r "$1/index.js" && printf "some-interpreter/pack\\nfaster"';
    // whoever prepares is not root, and gets to the tree by its path
    chmodSync(node.node.folder, 0o755);
    const host = await node.host(['--preparer', JSON.stringify(['/bin/sh', '-c', script, 'sh', '{tree}'])]);
    const code = node.node.stored('hello.tar');
    const first = await node.publishedPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    expect(await host.load(first, code)).toMatchObject({ statusCode: 200 });
    const sizeBytes = async (): Promise<number> =>
      ((await host.request('GET', '/v1/cache')).body as { entries: { sizeBytes: number }[] }).entries[0]?.sizeBytes ??
      0;
    const before = await sizeBytes();
    await expect.poll(sizeBytes, { timeout: 30_000 }).toBe(before + 'faster'.length);

    const second = await node.publishedPod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    const prepared = join(second.folder, 'prepared/some-interpreter/pack');
    // counted before it is put there
    await expect
      .poll(() =>
        readFileSync(
          join(node.node.folder, 'cache/sha256', `${code.digest.slice(7)}.tar`, 'prepared/some-interpreter/pack'),
          'utf8',
        ),
      )
      .toBe('faster');
    expect(await host.load(second, code)).toMatchObject({ statusCode: 200, body: { codeSource: 'cache' } });
    expect(readFileSync(prepared, 'utf8')).toBe('faster');
    expect(() => writeFileSync(prepared, 'x')).toThrow(/EROFS/);
    await node.removePod('pod-2');
    await node.removePod('pod-1');
    expect(node.volumeMounts()).toEqual([]);
  });

  test('do the same again when asked again', async () => {
    const host = await node.host();
    await node.kubelet.publish('pod-1');
    await node.kubelet.publish('pod-1');
    await node.agent('pod-1', node.kubelet.target('pod-1'));
    await node.kubelet.publish('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    expect(node.volumeMounts()).toHaveLength(1);
    await node.endAgent('pod-1');
    await node.kubelet.unpublish('pod-1');
    await node.kubelet.unpublish('pod-1');
    await node.kubelet.unpublish('pod-never-seen');
    expect(node.volumeMounts()).toEqual([]);
    // the same pod once more, for a kubelet that began anew
    await node.publishedPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
  });

  test('take away a volume that is only half made, and mounts on top of it', async () => {
    const host = await node.host();
    const target = node.kubelet.target('pod-1');
    await node.kubelet.publish('pod-1');
    node.namespace.run('mount', '-t', 'tmpfs', 'more', `${target}/code`);
    node.namespace.run('mount', '-t', 'tmpfs', 'again', `${target}/code`);
    node.namespace.run('mount', '-t', 'tmpfs', 'over-all', target);
    await node.kubelet.unpublish('pod-1');
    expect(node.volumeMounts()).toEqual([]);
    await node.kubelet.publish('pod-2');
    node.namespace.run('umount', node.kubelet.target('pod-2'));
    await node.kubelet.unpublish('pod-2');
    expect(node.volumeMounts()).toEqual([]);
    expect((await host.request('GET', '/healthz')).statusCode).toBe(200);
  });

  test('refuse what is wrong with the right code and the name of the field', async () => {
    await node.host();
    const good = node.kubelet.publishRequest('pod-1');
    const context = good['volume_context'] as Record<string, string>;
    const without = (key: string) => ({
      volume_context: Object.fromEntries(Object.entries(context).filter(([name]) => name !== key)),
    });
    const wrong: [Record<string, unknown>, RegExp][] = [
      [{ volume_id: '' }, /volume_id is missing/],
      [{ volume_id: 'x'.repeat(300) }, /volume_id has more than 256/],
      [{ volume_id: 'a\nb' }, /volume_id must be printable/],
      [{ target_path: '' }, /target_path is missing/],
      [{ target_path: '/etc' }, /target_path must be <kubelet-dir>/],
      [{ target_path: `${node.kubelet.target('pod-1')}/../mount` }, /target_path must be/],
      [{ target_path: node.kubelet.target('..') }, /target_path must be/],
      [{ target_path: node.kubelet.target('pod-2') }, /target_path is not one of pod pod-1/],
      [{ volume_capability: null }, /volume_capability is missing/],
      [{ volume_capability: { block: {} } }, /volume_capability must have access type mount/],
      [{ readonly: true }, /readonly must not be true/],
      [without('csi.storage.k8s.io/pod.uid'), /pod\.uid is missing: the CSIDriver object must say podInfoOnMount/],
      [without('csi.storage.k8s.io/ephemeral'), /ephemeral must be "true"/],
      [{ volume_context: { ...context, 'csi.storage.k8s.io/pod.uid': '../..' } }, /pod\.uid must be a pod uid/],
    ];
    for (const [change, words] of wrong) {
      const call = node.kubelet.call('node', 'NodePublishVolume', { ...good, ...change });
      await expect(call, JSON.stringify(change)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: words });
    }
    for (const [change, words] of wrong.slice(0, 7)) {
      const request = { volume_id: 'v', target_path: node.kubelet.target('pod-1'), ...change };
      const call = node.kubelet.call('node', 'NodeUnpublishVolume', request);
      await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: words });
    }
    // the kubelet's folder for the pod is not there
    await expect(node.kubelet.call('node', 'NodePublishVolume', good)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: /cannot be made/,
    });
    await node.kubelet.publish('pod-1');
    const second = { ...good, target_path: node.kubelet.target('pod-1').replace('/warmpool/', '/other/') };
    await expect(node.kubelet.call('node', 'NodePublishVolume', second)).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    expect(node.volumeMounts()).toHaveLength(1);
  });
});

describe.skipIf(missing !== undefined)('garbage in any RPC', () => {
  test('is refused, mounts nothing and ends nothing', async () => {
    const host = await node.host();
    const { kubelet } = node;
    const seed = process.env['SEED'] ?? String(Date.now());
    process.stdout.write(`host-agent-csi garbage: SEED=${seed}\n`);
    const random = new Prng(seed);
    const bytes = () => Buffer.from(Array.from({ length: random.int(0, 200) }, () => random.int(0, 255)));
    const methods = {
      identity: ['GetPluginInfo', 'GetPluginCapabilities', 'Probe'],
      node: [
        'NodePublishVolume',
        'NodeUnpublishVolume',
        'NodeGetInfo',
        'NodeGetCapabilities',
        'NodeStageVolume',
        'NodeExpandVolume',
      ],
      registration: ['GetInfo', 'NotifyRegistrationStatus'],
    } as const;
    const words = [
      '',
      '/',
      '..',
      '\0',
      'x'.repeat(5_000),
      kubelet.target('pod-1'),
      `${kubelet.target('a')}/code`,
      'csi-é',
      '\n',
    ];
    for (let round = 0; round < 100; round++) {
      for (const service of ['identity', 'node', 'registration'] as const) {
        const method = random.pick<string>(methods[service]);
        const answer = await kubelet.callRaw(service, method, bytes()).catch((error: RpcFailed) => error.code);
        expect(typeof answer === 'string' ? ['INVALID_ARGUMENT', 'INTERNAL', 'UNIMPLEMENTED'] : [answer]).toContain(
          answer,
        );
      }
      const request = {
        volume_id: random.pick(words),
        target_path: random.pick(words),
        volume_capability: random.pick([null, {}, { mount: {} }, { block: {} }]),
        volume_context: Object.fromEntries([[random.pick(words), random.pick(words)]]),
        staging_target_path: random.pick(words),
      };
      const publish = kubelet.call('node', 'NodePublishVolume', request);
      await expect(publish).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const tooLarge = { volume_id: 'v', target_path: 'x'.repeat(2_000_000) };
    await expect(kubelet.call('node', 'NodeUnpublishVolume', tooLarge)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
    expect(node.namespace.mountsWithin(kubelet.dir)).toHaveLength(1);
    await node.publishedPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
  });
});

describe.skipIf(missing !== undefined)('a pod that plays with its volume', () => {
  test('gets no code mounted anywhere else, and its own load fails', async () => {
    const host = await node.host();
    const pod = await node.publishedPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    node.namespace.run('rmdir', join(node.kubelet.target('pod-1'), 'code'));
    node.namespace.run('mkdir', '-p', join(node.kubelet.dir, 'elsewhere'));
    symlinkSync(join(node.kubelet.dir, 'elsewhere'), join(pod.folder, 'code'));
    expect(await host.load(pod, node.node.stored('hello.tar'))).toMatchObject({
      statusCode: 502,
      body: { code: 'PodLost', message: /its volume has no folder for the code/ },
    });
    expect(node.namespace.mountsWithin(join(node.kubelet.dir, 'elsewhere'))).toEqual([]);
    expect(node.volumeMounts()).toHaveLength(1);
  });

  test('cannot make the host-agent talk to a socket of another pod', async () => {
    const host = await node.host();
    const victim = await node.publishedPod('victim');
    await node.kubelet.publish('thief');
    await (await host.events()).podState('victim', 'standby');
    const volume = node.outside(node.kubelet.target('thief'));
    symlinkSync(join(node.kubelet.target('victim'), 'agent.sock'), join(volume, 'agent.sock'));
    // several rescans later
    await (await host.events()).until((event) => event.type === 'PING', 6_000);
    const { body } = await host.request('POST', '/v1/status:batchGet', { podUids: ['thief', 'victim'] });
    expect(body).toMatchObject({
      items: [
        { podUid: 'thief', found: false },
        { podUid: 'victim', found: true },
      ],
    });
    expect(await host.load(victim, node.node.stored('hello.tar'))).toMatchObject({ statusCode: 200 });
  });

  test('that leaves a pipe where its last words should be keeps nobody waiting', async () => {
    const host = await node.host();
    const pod = await node.publishedPod('pod-1', {
      onLoad: (_body, response) => reply(response, 500, { code: 'Broken' }),
    });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    node.namespace.run('mkfifo', join(node.kubelet.target('pod-1'), 'termination.json'));
    expect(await host.load(pod, node.node.stored('hello.tar'))).toMatchObject({ statusCode: 502 });
    await events.podState('pod-1', 'failed');
  });
});
