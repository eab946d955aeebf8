import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { systemClock } from '@warmpool/host-agent/clock.ts';
import { openSecrets } from '@warmpool/host-agent/secrets/open-secrets.ts';
import { AdminApi } from './admin-api.ts';
import { MANIFESTS, withOverlay } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';

const access = inject('apiserver');
const binary = inject('kubectl');
const { signal } = new AbortController();
/** The first has the component that lets host-agents read its Secret, the second has not. */
const [WITH, WITHOUT] = ['team-with-secret', 'team-without'];
const NAME = 'code-credentials';
const HOST_AGENT = 'warmpool-node/warmpool-host-agent';

describe.skipIf(access === undefined || binary === undefined)('the Secret of a pool, on the real apiserver', () => {
  let admin: AdminApi;
  let folder: string;
  let token: string;

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    admin = new AdminApi(access);
    await using kubectl = await Kubectl.start(binary, access);
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
    for (const [namespace, components] of [
      [WITH, ['../components/pool-secret']],
      [WITHOUT, []],
    ] as const) {
      await applyPools(kubectl, namespace, components);
      for (const name of [NAME, 'of-a-function'])
        await put(namespace, name, { accessKeyId: 'a', secretAccessKey: 's' });
    }
    token = await tokenOf(HOST_AGENT);
    folder = await mkdtemp(join(tmpdir(), 'warmpool-service-account-'));
    await writeFile(join(folder, 'token'), token);
    await writeFile(join(folder, 'ca.crt'), access.caPem);
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
    await admin[Symbol.asyncDispose]();
  });

  async function applyPools(kubectl: Kubectl, namespace: string, components: readonly string[]): Promise<void> {
    const kustomization = { namespace, resources: ['../pools'], components };
    await withOverlay(kustomization, (overlay) => kubectl.run('apply', '-k', overlay));
  }

  async function put(namespace: string, name: string, data: Record<string, string>): Promise<void> {
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    await admin.send('DELETE', `${path}/${name}`);
    const { status } = await admin.send('POST', path, { metadata: { name }, stringData: data });
    expect(status).toBe(201);
  }

  async function tokenOf(account: string): Promise<string> {
    const [namespace, name] = account.split('/');
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const { status, body } = await admin.send('POST', path, { spec: { expirationSeconds: 3600 } });
    expect(status, JSON.stringify(body)).toBe(201);
    return (body['status'] as { token: string }).token;
  }

  function secretsAt(serviceAccountDir: string): ReturnType<typeof openSecrets> {
    return openSecrets(
      { clock: systemClock, onRead: () => {} },
      { url: new URL(access?.url ?? ''), serviceAccountDir },
    );
  }

  test('is read by the host-agent where the component is, and only the one that its Role names', async () => {
    const { reader, close } = secretsAt(folder);
    const read = (namespace: string, secretName: string) => reader.read({ namespace, secretName }, signal);
    expect((await read(WITH, NAME)).s3()).toEqual({ accessKeyId: 'a', secretAccessKey: 's' });
    for (const [namespace, name] of [
      [WITH, 'of-a-function'],
      [WITHOUT, NAME],
      ['kube-system', 'any'],
    ] as const) {
      await expect(read(namespace, name)).rejects.toMatchObject({
        code: 'CredentialsMissing',
        message: expect.stringMatching(`^Secret ${name} in namespace ${namespace} may not be read`) as string,
      });
    }
    await close();
  });

  test('that was replaced is there the next time it is read; one that is gone is said to be', async () => {
    const { reader, close } = secretsAt(folder);
    const before = await reader.read({ namespace: WITH, secretName: NAME }, signal);
    await put(WITH, NAME, { accessKeyId: 'rotated', secretAccessKey: 's' });
    const after = await reader.readAgain(before, signal);
    expect(after.s3().accessKeyId).toBe('rotated');
    await admin.send('DELETE', `/api/v1/namespaces/${WITH}/secrets/${NAME}`);
    // read again once a second at most
    await delay(1_100);
    await expect(reader.readAgain(after, signal)).rejects.toMatchObject({
      code: 'CredentialsMissing',
      message: `Secret ${NAME} in namespace ${WITH} does not exist`,
    });
    await put(WITH, NAME, { accessKeyId: 'a', secretAccessKey: 's' });
    await close();
  });

  test('is not asked for with a token that the apiserver does not know, nor of an apiserver that is another', async () => {
    const strange = await mkdtemp(join(tmpdir(), 'warmpool-service-account-'));
    const { reader, close } = secretsAt(strange);
    const other = { namespace: WITH, secretName: 'of-a-function' };
    await writeFile(join(strange, 'ca.crt'), access?.caPem ?? '');
    await writeFile(join(strange, 'token'), 'nonsense');
    await expect(reader.read({ namespace: WITH, secretName: NAME }, signal)).rejects.toMatchObject({
      code: 'CredentialsUnavailable',
      message: expect.stringContaining('does not take the host-agent’s token') as string,
    });
    const untrusting = secretsAt(strange);
    await writeFile(join(strange, 'ca.crt'), '');
    await writeFile(join(strange, 'token'), token);
    await expect(untrusting.reader.read(other, signal)).rejects.toMatchObject({ code: 'CredentialsUnavailable' });
    await Promise.all([close(), untrusting.close()]);
    await rm(strange, { recursive: true });
  });

  test.each([
    [HOST_AGENT, 'get', NAME, true],
    [HOST_AGENT, 'get', 'of-a-function', false],
    [HOST_AGENT, 'list', '', false],
    [HOST_AGENT, 'watch', '', false],
    [HOST_AGENT, 'watch', NAME, false],
    [HOST_AGENT, 'patch', NAME, false],
    ['warmpool-system/warmpool-operator', 'get', NAME, false],
    ['warmpool-system/warmpool-operator', 'list', '', false],
    [`${WITH}/default`, 'get', NAME, false],
    [`${WITHOUT}/default`, 'get', NAME, false],
  ])('%s may %s secret %j there: %s', async (account, verb, name, isAllowed) => {
    const user = `system:serviceaccount:${account.replace('/', ':')}`;
    const spec = { resourceAttributes: { verb, resource: 'secrets', namespace: WITH, name } };
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const { body } = await admin.send('POST', path, { spec }, { 'impersonate-user': user });
    expect(body['status']).toMatchObject({ allowed: isAllowed });
  });

  test('of a WarmPool has a name, and its store says nothing about who asks', async () => {
    const create = (code: unknown) => {
      const runtime = { name: 'nodejs', version: '24' };
      const template = { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24' }] } };
      const pool = { apiVersion: 'warmpool.dev/v1alpha1', kind: 'WarmPool', metadata: { name: 'p' } };
      const path = `/apis/warmpool.dev/v1alpha1/namespaces/${WITH}/warmpools?dryRun=All`;
      return admin.send('POST', path, { ...pool, spec: { runtime, template, code } });
    };
    const credentials = { secretName: NAME };
    const store = 's3://bucket?endpoint=https://s3.example.com:9000/base&region=eu-1&addressing=virtual';
    expect((await create({ credentials, store })).status).toBe(201);
    for (const [field, code] of [
      ['spec.code.credentials', { store }],
      ['spec.code.credentials.secretName', { credentials: {} }],
      ['spec.code.credentials.secretName', { credentials: { secretName: '../other' } }],
      ['spec.code.store', { credentials, store: `${store}&credentials=instance` }],
      ['spec.code.store', { credentials, store: 'folder:/etc' }],
    ] as const) {
      const { status, body } = await create(code);
      expect(status).toBe(422);
      expect(body['message']).toContain(field);
    }
  });
});
