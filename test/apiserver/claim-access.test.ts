import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { ErrorBody } from '@warmpool/protocol/errors.ts';
import { AdminApi } from './admin-api.ts';
import { FaultProxy } from './fault-proxy.ts';
import { MANIFESTS } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';
import { OperatorProcess } from './stand-in/operator-process.ts';

const access = inject('apiserver');
const binary = inject('kubectl');
const AUDIENCE = 'warmpool.dev';
/** As long as a grant holds, as the operator is started by default. */
const HOLDS_MS = 10_000;

describe.skipIf(access === undefined || binary === undefined)(
  'the claim API asks the apiserver who may do what',
  () => {
    let admin: AdminApi;
    let proxy: FaultProxy;
    let operator: OperatorProcess;
    let folder: string;
    let namespace: string;

    beforeAll(async () => {
      if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
      admin = new AdminApi(access);
      await using kubectl = await Kubectl.start(binary, access);
      await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
      namespace = await admin.newNamespace();
      await admin.send('POST', rolePath(), {
        metadata: { name: 'claimers' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'warmpool-claimer' },
        subjects: [{ kind: 'ServiceAccount', name: 'platform', namespace }],
      });
      proxy = await FaultProxy.start(access);
      folder = await mkdtemp(join(tmpdir(), 'warmpool-access-'));
      operator = await OperatorProcess.start({
        // with the operator's own account: what it lacks, this shows
        access: { url: proxy.url, token: await tokenOf('warmpool-system', 'warmpool-operator', []) },
        folder,
        name: 'operator',
        named: { hostAgents: [], grantKey: randomBytes(32) },
        isProtected: true,
      });
      await operator.untilServing();
    });
    afterAll(async () => {
      await operator.kill9();
      await proxy[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
      await admin[Symbol.asyncDispose]();
    });

    const rolePath = (): string => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`;

    async function tokenOf(ns: string, account: string, audiences: string[]): Promise<string> {
      const accounts = `/api/v1/namespaces/${ns}/serviceaccounts`;
      await admin.send('POST', accounts, { metadata: { name: account } });
      const spec = { audiences, expirationSeconds: 3600 };
      const { status, body } = await admin.send('POST', `${accounts}/${account}/token`, { spec });
      expect(status, JSON.stringify(body)).toBe(201);
      return (body['status'] as { token: string }).token;
    }

    async function call(
      token: string | undefined,
      path = `/v1/claims/${namespace}/none`,
      method: 'GET' | 'POST' | 'DELETE' = 'GET',
    ): Promise<{ status: number; error: ErrorBody; headers: Record<string, unknown>; ms: number }> {
      const startedMs = performance.now();
      const answer = await request(`${operator.url}${path}`, {
        method,
        ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
        signal: AbortSignal.timeout(20_000),
      });
      const error = (await answer.body.json()) as ErrorBody;
      return { status: answer.statusCode, error, headers: answer.headers, ms: performance.now() - startedMs };
    }

    test('a ServiceAccount with the role gets through, to a claim that does not exist', async () => {
      expect(await call(await tokenOf(namespace, 'platform', [AUDIENCE]))).toMatchObject({
        status: 404,
        error: { code: 'ClaimNotFound' },
      });
    });

    test('nobody is 401, and is told how to come back', async () => {
      const answer = await call(undefined);
      expect(answer).toMatchObject({ status: 401, error: { code: 'Unauthenticated' } });
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    });

    test('a token for the apiserver is 401 here: whoever is given one must not be able to use it there', async () => {
      expect(await call(await tokenOf(namespace, 'platform', []))).toMatchObject({
        status: 401,
        error: { message: expect.stringContaining(`--audience ${AUDIENCE}`) as string },
      });
    });

    test('a token that was changed is 401', async () => {
      const token = await tokenOf(namespace, 'platform', [AUDIENCE]);
      expect((await call(`${token.slice(0, -6)}AAAAAA`)).status).toBe(401);
    });

    test('an account without the role is 403, in words that name account, verb, namespace and role', async () => {
      const { status, error } = await call(await tokenOf(namespace, 'stranger', [AUDIENCE]));
      expect(status).toBe(403);
      expect(error.message).toMatch(
        new RegExp(
          `^system:serviceaccount:${namespace}:stranger may not get warmpoolclaims .*${namespace}.*warmpool-claimer`,
        ),
      );
    });

    test('the role counts in its namespace and not in the next', async () => {
      const token = await tokenOf(namespace, 'platform', [AUDIENCE]);
      expect((await call(token, '/v1/claims/warmpool-pools/none')).status).toBe(403);
      expect((await call(token, '/v1/pools')).status).toBe(403);
    });

    test.each<['GET' | 'POST' | 'DELETE', string]>([
      ['POST', '/v1/pools/NS/nodejs/claims'],
      ['GET', '/v1/pools/NS/nodejs/claims'],
      ['GET', '/v1/pools/NS/nodejs/claims?watch=true'],
      ['GET', '/v1/pools'],
      ['DELETE', '/v1/claims/NS/none'],
      ['GET', '/v1/claims/NS/none/logs'],
      ['POST', '/v1/claims/NS/none/kill'],
    ])('%s %s is for nobody without a token or without the role', async (method, path) => {
      const at = path.replace('NS', namespace);
      expect((await call(undefined, at, method)).status).toBe(401);
      expect((await call(await tokenOf(namespace, 'stranger', [AUDIENCE]), at, method)).status).toBe(403);
    });

    test('a right that is taken away ends within its time, also for a steady caller', { timeout: 60_000 }, async () => {
      const token = await tokenOf(namespace, 'leaver', [AUDIENCE]);
      await admin.send('POST', rolePath(), {
        metadata: { name: 'leaver' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'warmpool-claimer' },
        subjects: [{ kind: 'ServiceAccount', name: 'leaver', namespace }],
      });
      await untilStatus(404, token, 5_000);
      await admin.send('DELETE', `${rolePath()}/leaver`);
      await untilStatus(403, token, HOLDS_MS + 5_000);
    });

    test('a token whose account is deleted ends within its time', { timeout: 60_000 }, async () => {
      const token = await tokenOf(namespace, 'platform', [AUDIENCE]);
      await untilStatus(404, token, 5_000);
      await admin.send('DELETE', `/api/v1/namespaces/${namespace}/serviceaccounts/platform`);
      // the apiserver itself looks accounts up in a cache
      await untilStatus(401, token, HOLDS_MS + 15_000);
    });

    async function untilStatus(status: number, token: string, limitMs: number): Promise<void> {
      const untilMs = performance.now() + limitMs;
      for (;;) {
        const answer = await call(token);
        if (answer.status === status) return;
        if (performance.now() > untilMs) throw new Error(`still ${answer.status}: ${answer.error.message}`);
        await delay(100);
      }
    }

    // the last one: from here on the apiserver is away
    test('with the apiserver away, who is known goes on for the time that grants hold, and others are 503 soon', async () => {
      const token = await tokenOf(namespace, 'platform', [AUDIENCE]);
      const other = await tokenOf(namespace, 'another', [AUDIENCE]);
      await untilStatus(404, token, 15_000);
      const knownAtMs = performance.now();
      proxy.next('write', () => new Promise(() => undefined), 10_000);
      const [refused] = await Promise.all([
        call(other),
        (async () => {
          while (performance.now() - knownAtMs < HOLDS_MS / 2) {
            const answer = await call(token);
            expect(answer.status).toBe(404);
            expect(answer.ms).toBeLessThan(1_000);
            await delay(200);
          }
        })(),
      ]);
      expect(refused).toMatchObject({ status: 503, error: { code: 'AccessUnknown' } });
      expect(refused.headers['retry-after']).toBe('1');
      expect(refused.ms).toBeLessThan(10_000);
      await delay(Math.max(0, knownAtMs + HOLDS_MS + 500 - performance.now()));
      expect(await call(token)).toMatchObject({ status: 503, error: { code: 'AccessUnknown' } });
    }, 60_000);
  },
);
