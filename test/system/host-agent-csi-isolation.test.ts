import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { RealPod } from '@warmpool/host-agent/testing/real-pod.ts';

const missing = missingForMounts();
if (missing !== undefined) process.stdout.write(`skipped: isolation of code between pods: ${missing}\n`);

let node: CsiNode;
const pods: RealPod[] = [];
beforeEach(async () => {
  if (missing === undefined) node = await CsiNode.start();
});
afterEach(async () => {
  if (missing !== undefined) return;
  for (const pod of pods.splice(0)) await pod.stop();
  await node.close();
});

/** Tries everything on its own code, and says what it sees. */
const HOSTILE = `
const fs = require('node:fs');
const outcome = (act) => { try { act(); return 'done'; } catch (error) { return error.code; } };
exports.handler = () => ({
  user: process.getuid(),
  file: __filename,
  own: fs.readFileSync(__filename, 'utf8').length,
  sees: fs.readdirSync('/run/warmpool').sort(),
  tries: {
    write: outcome(() => fs.writeFileSync(__filename, 'x')),
    append: outcome(() => fs.appendFileSync(__dirname + '/new.js', 'x')),
    remove: outcome(() => fs.unlinkSync(__filename)),
    rename: outcome(() => fs.renameSync(__filename, __dirname + '/other.js')),
    mode: outcome(() => fs.chmodSync(__filename, 0o777)),
    link: outcome(() => fs.symlinkSync('/etc', __dirname + '/etc')),
    folder: outcome(() => fs.mkdirSync(__dirname + '/folder')),
  },
  replace: outcome(() => fs.renameSync('/run/warmpool/code', '/run/warmpool/moved')),
});
`;
const ALL_READ_ONLY = {
  write: 'EROFS',
  append: 'EROFS',
  remove: 'EROFS',
  rename: 'EROFS',
  mode: 'EROFS',
  link: 'EROFS',
  folder: 'EROFS',
};

describe.skipIf(missing !== undefined)('code in a pod', () => {
  test.each([
    ['another user', 65_532],
    ['root', 0],
  ])('cannot be changed by %s, and another pod sees its own only', async (_name, user) => {
    const host = await node.host();
    const events = await host.events();
    for (const podUid of ['pod-a', 'pod-b']) pods.push(await RealPod.start(node, podUid, user));
    const [first, second] = pods as [RealPod, RealPod];
    const code = node.node.stored('a.tar', HOSTILE);
    const other = node.node.stored('b.tar', `${HOSTILE}// the other tenant's`);
    for (const [pod, reference] of [
      [first, code],
      [second, other],
    ] as const) {
      const event = await events.podState(pod.podUid, 'standby', 20_000);
      const reports = event.type === 'POD' ? [event.pod] : event.type === 'SNAPSHOT' ? event.pods : [];
      const epoch = reports.find(({ podUid }) => podUid === pod.podUid)?.epoch ?? '';
      const answer = await host.load({ podUid: pod.podUid, epoch }, reference);
      expect(answer, JSON.stringify(answer.body)).toMatchObject({
        statusCode: 200,
        body: { address: { port: pod.port } },
      });
    }

    for (const [pod, length] of [
      [first, HOSTILE.length],
      [second, HOSTILE.length + 21],
    ] as const) {
      expect(await pod.invoke()).toEqual({
        user,
        file: '/run/warmpool/code/index.js',
        own: length,
        sees: expect.arrayContaining(['agent.sock', 'code']) as string[],
        tries: ALL_READ_ONLY,
        replace: expect.stringMatching(/EBUSY|EPERM/) as string,
      });
    }

    const entries = join(node.folder, 'cache', 'sha256');
    const kept = readdirSync(entries).map((key) => readFileSync(join(entries, key, 'tree', 'index.js'), 'utf8'));
    expect(kept.toSorted()).toEqual([HOSTILE, `${HOSTILE}// the other tenant's`]);
    for (const pod of pods) {
      await pod.stop();
      await node.removePod(pod.podUid);
    }
    expect(node.volumeMounts()).toEqual([]);
  });
});
