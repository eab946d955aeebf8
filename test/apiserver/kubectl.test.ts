import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { WARM_POOLS, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { HttpKubeClient } from '@warmpool/operator/kube/http-kube-client.ts';
import { aPool } from '../support/builders.ts';
import { AdminApi } from './admin-api.ts';
import { apiserverClient } from './apiserver-world.ts';
import { Kubectl } from './kubectl.ts';

const access = inject('apiserver');
const binary = inject('kubectl');

describe.skipIf(access === undefined || binary === undefined)('kubectl', () => {
  let kubectl: Kubectl;
  let kube: HttpKubeClient;
  let namespace: string;

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    kubectl = await Kubectl.start(binary, access);
    kube = apiserverClient(access);
    await using admin = new AdminApi(access);
    namespace = await admin.newNamespace();
    await kube.create<WarmPool>(WARM_POOLS, namespace, { ...aPool('nodejs'), metadata: { name: 'nodejs', namespace } });
    const condition = {
      ...{ type: 'Stalled', status: 'True', reason: 'QuotaExceeded', message: 'exceeded quota: pods' },
      ...{ observedGeneration: 1, lastTransitionTime: '2026-01-01T00:00:00Z' },
    };
    await kube.patchStatus(WARM_POOLS, namespace, 'nodejs', {
      status: { replicas: 3, readyReplicas: 1, claimedReplicas: 7, conditions: [condition] },
    });
  });
  afterAll(async () => {
    await kube.delete(WARM_POOLS, namespace, 'nodejs');
    await kube.close();
    await kubectl[Symbol.asyncDispose]();
  });

  test('get wp shows runtime, wanted, ready and claimed', async () => {
    const [header = '', row = ''] = (await kubectl.run('get', 'wp', '-n', namespace)).split('\n');
    expect(header).toMatch(/NAME .*RUNTIME.*DESIRED.*STANDBY.*CLAIMED/);
    expect(row).toMatch(/nodejs .*3 .*1 .*7/);
  });

  test('describe wp tells the trouble in words', async () => {
    expect(await kubectl.run('describe', 'wp', 'nodejs', '-n', namespace)).toContain('exceeded quota: pods');
  });

  test('scale changes the number of standby pods', async () => {
    await kubectl.run('scale', 'wp/nodejs', '--replicas=5', '-n', namespace);
    expect((await kube.get<WarmPool>(WARM_POOLS, namespace, 'nodejs')).spec.replicas).toBe(5);
  });

  test.each([
    ['wp.spec.replicas', /Standby pods wanted/],
    ['wp.spec.claims.onEmpty', /nothing is standby/],
    ['wp.status.readyReplicas', /a claim can take now/],
  ])('explain %s explains', async (field, words) => {
    expect(await kubectl.run('explain', field)).toMatch(words);
  });
});
