import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeApiserver } from '@warmpool/host-agent/testing/fake-apiserver.ts';
import { grantFor } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import { EVENTS_RESOURCE } from '@warmpool/operator/engine/events.ts';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { prefetchSchema } from '@warmpool/protocol/prefetch-api.ts';
import { aPool } from '../support/builders.ts';
import { LocalWorld, type Answer } from '../support/local-world.ts';
import { findOrBuildS3Server, s3Allow, s3Put, startS3Server, type S3Server } from '../support/s3-server.ts';

/** Pools whose code each opens with a Secret of its own: from the claim to a real S3 server and back. */

const USERS = { 'key-of-red': 'value-of-red', 'key-of-blue': 'value-of-blue' };

/** Without Go there is no such server; what needs none is tested below all the same. */
if (findOrBuildS3Server() !== undefined) {
  describe('two pools of one S3 server', () => {
    let s3: S3Server;
    let kube: FakeApiserver;
    let world: LocalWorld;
    let folder: string;
    let next = 0;

    beforeAll(async () => {
      const started = await startS3Server();
      if (started === undefined) throw new Error('no S3 server');
      s3 = started;
      s3.setUsers(USERS);
      for (const team of ['red', 'blue']) {
        await s3Put(s3, `code-of-${team}`);
        await s3Allow(s3, `code-of-${team}`, `key-of-${team}`);
      }
      folder = mkdtempSync(join(tmpdir(), 'warmpool-pool-secrets-'));
      kube = await FakeApiserver.start(folder);
      for (const team of ['red', 'blue'] as const) hold(team, USERS[`key-of-${team}`]);
      world = await LocalWorld.start([poolOf('red'), poolOf('blue'), poolOf('nobody')], {
        hostAgentArgs: [...kube.flags, '--allow-loopback-sources'],
      });
    });
    afterAll(async () => {
      await world.stop();
      await kube.close();
      await s3.close();
      rmSync(folder, { recursive: true });
    });
    afterEach(() => world.releaseAll());

    function poolOf(team: string) {
      const store = `s3://code-of-${team}?endpoint=${s3.endpoint}`;
      return aPool(team, { replicas: 2, code: { credentials: { secretName: `secret-of-${team}` }, store } });
    }

    function hold(team: string, secretAccessKey: string): void {
      kube.secrets.set(`default/secret-of-${team}`, { accessKeyId: `key-of-${team}`, secretAccessKey });
    }

    async function stored(team: string): Promise<ClaimRequestInput['code']> {
      const bytes = tarOf([{ name: 'index.js', body: `exports.handler = () => (${JSON.stringify({ team, next })})` }]);
      const key = `function-${next++}.tar`;
      await s3Put(s3, `code-of-${team}/${key}`, bytes);
      return { key, digest: digestOf(bytes), format: 'tar' };
    }

    /** As soon as the pool has a pod again: claims that failed have used up what it had. Gives the id. */
    async function prefetch(pool: string, code: ClaimRequestInput['code']): Promise<string> {
      const ask = () => world.call('POST', '/v1/prefetch', { code, namespace: 'default', pools: [pool] });
      let answer: Answer | undefined;
      await expect
        .poll(async () => (answer = await ask()).body, { timeout: 20_000 })
        .not.toMatchObject({ code: 'NoNodes' });
      return prefetchSchema.parse(answer?.body).id;
    }

    const claim = (pool: string, code: ClaimRequestInput['code']): Promise<Answer> =>
      world.tryClaim(pool, world.claimOf(code));

    it('are each served what their own Secret opens', async () => {
      for (const team of ['red', 'blue']) {
        const code = await stored(team);
        const answer = await claim(team, code);
        expect(answer).toMatchObject({ status: 201 });
        const { address } = answer.body as { address: { url: string } };
        expect((await world.invoke(address.url, {}, 'r1')).body).toMatchObject({ team });
      }
    });

    it('are not served what the other has brought to the node, by whatever way they ask for it', async () => {
      const code = await stored('red');
      expect(await claim('red', code)).toMatchObject({ status: 201 });
      expect(await claim('red', code)).toMatchObject({ status: 201, body: { timings: { fetchMs: 0 } } });
      const { key, ...rest } = code;
      const url = `s3://code-of-red/${key}`;
      expect(await claim('blue', { ...rest, url })).toMatchObject({ status: 502, body: { code: 'StoreRefused' } });
      expect(await claim('blue', code)).toMatchObject({ status: 404, body: { code: 'ObjectNotFound' } });
      // nor by prefetching it first
      const id = await prefetch('blue', { ...rest, url });
      const ended = async () => prefetchSchema.parse((await world.call('GET', `/v1/prefetch/${id}`)).body);
      await expect.poll(async () => (await ended()).state, { timeout: 20_000 }).toBe('failed');
      expect((await ended()).nodes).toMatchObject([{ error: { code: 'StoreRefused' } }]);
    });

    it('are served what was prefetched for them', async () => {
      const code = await stored('blue');
      const id = await prefetch('blue', code);
      const state = async () => prefetchSchema.parse((await world.call('GET', `/v1/prefetch/${id}`)).body).state;
      await expect.poll(state, { timeout: 20_000 }).toBe('done');
      expect(await claim('blue', code)).toMatchObject({ status: 201, body: { timings: { fetchMs: 0, unpackMs: 0 } } });
    });

    it('go on after a rotation at the first claim that the store refuses, and fail while the Secret is wrong', async () => {
      s3.setUsers({ ...USERS, 'key-of-red': 'rotated' });
      const refused = await claim('red', await stored('red'));
      expect(refused).toMatchObject({ status: 502, body: { code: 'StoreRefused' } });
      expect(JSON.stringify(refused.body)).not.toContain('value-of');
      hold('red', 'rotated');
      // it was read again for the claim before, and once a second is enough
      await delay(1_100);
      expect(await claim('red', await stored('red'))).toMatchObject({ status: 201 });
      s3.setUsers(USERS);
      hold('red', USERS['key-of-red']);
    });

    it('without their Secret, or a key of it, fail with its name, and their pool says so', async () => {
      const code = { ...(await stored('red')), key: 'anything.tar' };
      const missing = { status: 502, body: { code: 'CredentialsMissing' } };
      const words = 'Secret secret-of-nobody in namespace default';
      expect(await claim('nobody', code)).toMatchObject({ ...missing, body: { message: `${words} does not exist` } });
      kube.secrets.set('default/secret-of-nobody', { accessKeyId: 'key' });
      const message = async () => ((await claim('nobody', code)).body as { message: string }).message;
      await expect.poll(message, { timeout: 10_000, interval: 300 }).toBe(`${words} has no key secretAccessKey`);
      const notes = () =>
        world.local.cluster.snapshot(EVENTS_RESOURCE).map((event) => (event as { note?: string }).note);
      expect(notes()).toContain(`A claim failed: ${words} does not exist`);
    });
  });
}

describe('a host-agent with a pool’s Secret', () => {
  let node: NodeUnderTest;
  beforeEach(() => void (node = new NodeUnderTest()));
  afterEach(() => node.close());
  const CANARY = 'canary-7d1f0c';
  const bytes = tarOf([{ name: 'index.js', body: 'exports.handler = () => 1' }]);
  const digest = digestOf(bytes);
  const access = { namespace: 'team-a', secretName: 'code' };

  it('shows what is in it to the store alone: no log, answer, metric, argument, file or pod has it', async () => {
    const kube = await FakeApiserver.start(node.folder);
    const told: string[] = [];
    let isRefusing = true;
    const url = await node.server(({ headers }, response) => {
      told.push(headers.authorization ?? '');
      if (isRefusing) response.writeHead(403).end(`${headers.authorization} is nobody`);
      else response.end(bytes);
    });
    const secret = { bearer: CANARY, accessKeyId: CANARY, secretAccessKey: CANARY, sessionToken: `${CANARY} bad` };
    kube.secrets.set('team-a/code', { url, ...secret });
    const host = await node.host(['--allow-loopback-sources', '--log-level', 'debug', ...kube.flags]);
    const pods = [await node.pod('pod-1'), await node.pod('pod-2'), await node.pod('pod-3')];
    const events = await host.events();
    for (const { podUid } of pods) await events.podState(podUid, 'standby', 30_000);
    const load = (index: number, code: Record<string, string>, store = `s3://bucket?endpoint=${url}`) => {
      const pod = pods[index] ?? { podUid: '', epoch: '' };
      const grant = grantFor(pod, { access: { ...access, store } });
      return host.load(pod, { digest, format: 'tar', ...code }, { grant });
    };
    const answers = [await load(0, { url: `${url}/a.tar` }), await load(1, { key: 'a.tar' })];
    expect(answers).toMatchObject([
      { statusCode: 502, body: { code: 'StoreRefused' } },
      { statusCode: 502, body: { code: 'CredentialsMissing' } },
    ]);
    isRefusing = false;
    answers.push(await load(2, { url: `${url}/a.tar` }));
    expect(answers[2]).toMatchObject({ statusCode: 200, body: { codeSource: 'fetched' } });
    expect(told).toContain(`Bearer ${CANARY}`);
    const paths = ['/metrics', '/v1/cache', '/v1/prefetch', '/healthz'];
    const said = await Promise.all(paths.map((path) => host.request('GET', path)));
    const proc = (name: string): string => readFileSync(`/proc/${host.child.pid}/${name}`, 'latin1');
    const files = readdirSync(node.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    const seen = { answers, said, events: events.seen, output: host.output, files };
    const ofPods = pods.map(({ loads }) => loads);
    expect(host.output).toContain('loaded');
    expect(JSON.stringify([seen, ofPods, proc('cmdline'), proc('environ')])).not.toContain(CANARY);
    await events.close();
    await kube.close();
  });

  it('refuses a load whose grant is for another Secret than it names, and a prefetch without a grant', async () => {
    const host = await node.host();
    const pod = await node.pod('pod-9');
    const events = await host.events();
    await events.podState('pod-9', 'standby', 30_000);
    const code = node.stored('a.tar');
    const grant = { ...grantFor(pod, { access }), access: { ...access, namespace: 'team-b' } };
    expect(await host.load(pod, code, { grant })).toMatchObject({ statusCode: 403, body: { code: 'BadGrant' } });
    const forged = { access, expiresAtUnixMs: Date.now() + 10_000, nonce: '0'.repeat(32), signature: '0'.repeat(64) };
    expect(await host.request('POST', '/v1/prefetch', { code, grant: forged })).toMatchObject({ statusCode: 403 });
    expect(await host.request('POST', '/v1/prefetch', { code, access })).toMatchObject({ statusCode: 400 });
    await events.close();
  });

  it('that knows no apiserver says so', async () => {
    const host = await node.host(['--allow-loopback-sources']);
    const pod = await node.pod('pod-10');
    const events = await host.events();
    await events.podState('pod-10', 'standby', 30_000);
    const code = { url: 'https://example.com/a.tar', digest, format: 'tar' };
    expect(await host.load(pod, code, { grant: grantFor(pod, { access }) })).toMatchObject({
      statusCode: 502,
      body: { code: 'CredentialsMissing', message: expect.stringContaining('--service-account-dir') as string },
    });
    await events.close();
  });
});
