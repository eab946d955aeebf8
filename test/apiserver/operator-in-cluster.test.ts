import type { Server } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { namedOnly } from '@warmpool/host-agent/tls/named-only.ts';
import { OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import { LABEL_POOL, LABEL_SERVING } from '@warmpool/protocol/names.ts';
import { PODS, SECRETS, WARM_POOLS, type Pod, type Secret, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { HttpKubeClient } from '@warmpool/operator/kube/http-kube-client.ts';
import { aPool } from '../support/builders.ts';
import { AdminApi } from './admin-api.ts';
import { apiserverClient } from './apiserver-world.ts';
import { freePort } from '../support/free-port.ts';
import { MANIFESTS } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';
import { OperatorProcess } from './stand-in/operator-process.ts';
import { until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const binary = inject('kubectl');
const SYSTEM = 'warmpool-system';
const POOLS = 'warmpool-pools';
const NODE = 'warmpool-node';
const LIMIT_MS = 30_000;
/** Longer than a lease that nobody gave back. */
const TAKEOVER_MS = 40_000;

/** As installed: the manifests, the operator's own account, two replicas. Only what the images would hold runs as plain processes. */
describe.skipIf(access === undefined || binary === undefined)('two operators as the manifests install them', () => {
  let admin: AdminApi;
  let client: HttpKubeClient;
  let kube: KubeClient;
  let folder: string;
  let hostAgentPort: number;
  const operators = new Map<string, OperatorProcess>();

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    admin = new AdminApi(access);
    kube = client = apiserverClient(access);
    await using kubectl = await Kubectl.start(binary, access);
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/ha'));
    folder = await mkdtemp(join(tmpdir(), 'warmpool-in-cluster-'));
    hostAgentPort = await freePort();
    await Promise.all(['operator-a', 'operator-b'].map(start));
  });
  afterAll(async () => {
    await Promise.all([...operators.values()].filter(({ hasExited }) => !hasExited).map((each) => each.kill9()));
    for (const namespace of [POOLS, SYSTEM, NODE])
      await admin.send('DELETE', `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=0`);
    await admin.send('DELETE', `/apis/warmpool.dev/v1alpha1/namespaces/${POOLS}/warmpools`);
    await client.close();
    await rm(folder, { recursive: true });
    await admin[Symbol.asyncDispose]();
  });

  async function start(name: string): Promise<void> {
    if (access === undefined) return;
    const labels = { 'app.kubernetes.io/name': 'warmpool-operator' };
    await kube.create<Pod>(PODS, SYSTEM, { metadata: { name, labels }, spec: restricted() });
    const path = `/api/v1/namespaces/${SYSTEM}/serviceaccounts/warmpool-operator/token`;
    const { body } = await admin.send('POST', path, { spec: {} });
    const { token } = body['status'] as { token: string };
    const operator = await OperatorProcess.start({
      access: { ...access, token },
      folder,
      name,
      isProtected: true,
      leaseNamespace: SYSTEM,
      args: ['--pod-name', name, '--host-agent-namespace', NODE, '--host-agent-port', String(hostAgentPort)],
    });
    operators.set(name, operator);
  }

  const serving = async (): Promise<string[]> => {
    const { items } = await kube.list<Pod>(PODS, SYSTEM, { labelSelector: `${LABEL_SERVING}=true` });
    return items.map(({ metadata }) => metadata.name);
  };
  const everyOperator = (path: string): Promise<number[]> =>
    Promise.all([...operators.values()].map((operator) => operator.ops(path)));
  const pool = (name: string): Promise<Stored<WarmPool>> => kube.get<WarmPool>(WARM_POOLS, POOLS, name);
  const stalled = async (name: string) => (await pool(name)).status?.conditions?.find(({ type }) => type === 'Stalled');
  const createPool = (name: string, spec: Parameters<typeof aPool>[1], namespace = POOLS): Promise<Stored<WarmPool>> =>
    kube.create<WarmPool>(WARM_POOLS, namespace, {
      ...{ metadata: { name, namespace } },
      // the template as it is written: the schema that makes a pool whole knows only what the operator reads
      spec: { ...aPool(name, spec).spec, ...(spec?.template && { template: spec.template }) },
    });
  const podsOf = async (name: string): Promise<Stored<Pod>[]> =>
    (await kube.list<Pod>(PODS, POOLS, { labelSelector: `${LABEL_POOL}=${name}` })).items;

  test('both could take over, one serves, and the Service selects that one', async () => {
    await until('both to be complete', LIMIT_MS, async () =>
      (await everyOperator('/readyz/replica')).every((is) => is === 200),
    );
    await until('one to serve', LIMIT_MS, async () => (await everyOperator('/readyz')).includes(200));
    expect((await everyOperator('/readyz')).sort((a, b) => a - b)).toEqual([200, 503]);
    await until('its label', LIMIT_MS, async () => (await serving()).length === 1);
    const [leader = ''] = await serving();
    expect(await operators.get(leader)?.ops('/readyz')).toBe(200);
  });

  test('they agree on certificates, and the host-agents’ Secret has what these need', async () => {
    const { data = {} } = await kube.get<Secret>(SECRETS, NODE, 'warmpool-host-agent-tls');
    expect(Object.keys(data).sort()).toEqual(['ca.crt', 'grant.key', 'tls.crt', 'tls.key']);
    const authority = await kube.get<Secret>(SECRETS, SYSTEM, 'warmpool-authority');
    expect(authority.data?.['trusted.crt']).toBe(data['ca.crt']);
    expect(authority.data?.['grant.key']).toBe(data['grant.key']);
  });

  test('a host-agent that its pod tells of is followed by both, with certificates, until its pod is gone', async () => {
    const { data = {} } = await kube.get<Secret>(SECRETS, NODE, 'warmpool-host-agent-tls');
    const file = (name: string): Buffer => Buffer.from(data[name] ?? '', 'base64');
    const refused: string[] = [];
    const streams = new Set<object>();
    const text = (name: string): string => file(name).toString('utf8');
    const { serverFactory } = namedOnly(
      OPERATOR_TLS_NAME,
      { cert: text('tls.crt'), key: text('tls.key'), ca: text('ca.crt'), grantKey: file('grant.key') },
      (reason) => refused.push(reason),
    );
    const server: Server = serverFactory((request, response) => {
      if (request.url !== '/v1/events') return void response.writeHead(404).end();
      streams.add(response);
      response.once('close', () => streams.delete(response));
      response.write('{"type":"SNAPSHOT","node":"node-7","pods":[],"digests":[]}\n');
    }, {});
    await new Promise<void>((resolve) => server.listen(hostAgentPort, '127.0.0.1', resolve));
    try {
      const metadata = { name: 'host-agent-7', labels: { 'app.kubernetes.io/name': 'warmpool-host-agent' } };
      await kube.create<Pod>(PODS, NODE, { metadata, spec: { ...restricted(), nodeName: 'node-7' } });
      await kube.patchStatus(PODS, NODE, metadata.name, { status: { phase: 'Running', podIP: '127.0.0.1' } });
      await until(
        'both to follow',
        LIMIT_MS,
        () => streams.size === 2,
        () => refused.join(),
      );
      await kube.delete(PODS, NODE, metadata.name, { gracePeriodSeconds: 0 });
      await until('both to leave', LIMIT_MS, () => streams.size === 0);
      expect(refused).toEqual([]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test('a pool gets its pods, as Pod Security restricted wants them', async () => {
    await createPool('plain', { replicas: 2 });
    await until('two pods', LIMIT_MS, async () => (await podsOf('plain')).length === 2);
    await until('no trouble', LIMIT_MS, async () => (await stalled('plain'))?.status === 'False');
  });

  describe('a pool in trouble says what the API says and what to do:', () => {
    async function untilStalled(name: string, reason: string, words: RegExp): Promise<void> {
      await until(
        `${name} to be stalled`,
        LIMIT_MS,
        async () => (await stalled(name))?.reason === reason,
        async () => JSON.stringify(await stalled(name)),
      );
      expect((await stalled(name))?.message).toMatch(words);
      const events = async (): Promise<{ reason: string; note: string; regarding: { name: string } }[]> => {
        const { body } = await admin.send('GET', `/apis/events.k8s.io/v1/namespaces/${POOLS}/events`);
        return body['items'] as { reason: string; note: string; regarding: { name: string } }[];
      };
      await until('its event', LIMIT_MS, async () =>
        (await events()).some(
          (event) => event.regarding.name === name && event.reason === reason && words.test(event.note),
        ),
      );
    }

    test('Pod Security', async () => {
      const template = { spec: { hostNetwork: true, containers: [{ name: 'runtime', image: 'none' }] } };
      await createPool('host-network', { replicas: 1, template });
      await untilStalled('host-network', 'PodRefused', /violates PodSecurity "restricted.*hostNetwork/);
    });

    test('a quota, and it goes on when there is room', { timeout: 90_000 }, async () => {
      const quotas = `/api/v1/namespaces/${POOLS}/resourcequotas`;
      const hard = { 'requests.memory': '1Gi' };
      await admin.send('POST', quotas, { metadata: { name: 'small' }, spec: { hard } });
      // as the controller-manager would, which does not run here
      const type = { 'content-type': 'application/merge-patch+json' };
      await admin.send(
        'PATCH',
        `${quotas}/small/status`,
        { status: { hard, used: { 'requests.memory': '1Gi' } } },
        type,
      );
      const resources = { requests: { memory: '64Mi' } };
      const template = { spec: { containers: [{ name: 'runtime', image: 'none', resources }] } };
      await createPool('quota', { replicas: 1, template });
      await untilStalled('quota', 'QuotaExceeded', /exceeded quota: small.*kubectl describe quota/);
      await admin.send('DELETE', `${quotas}/small`);
      await until('the pod', 60_000, async () => (await podsOf('quota')).length === 1);
      await until('the end of the trouble', LIMIT_MS, async () => (await stalled('quota'))?.status === 'False');
    });

    test.each<[string, object, string, RegExp]>([
      [
        'an image that cannot be pulled',
        { containerStatuses: [aWaiting('ErrImagePull', 'registry/none:1: not found')] },
        'ImagePullFailing',
        /registry\/none:1: not found; check the name/,
      ],
      [
        'no node with room',
        {
          conditions: [
            {
              ...{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' },
              message: '0/3 nodes are available: 3 Insufficient memory.',
            },
          ],
        },
        'Unschedulable',
        /0\/3 nodes are available: 3 Insufficient memory.*add nodes/,
      ],
      [
        'a Secret that the container wants and nobody made',
        { containerStatuses: [aWaiting('CreateContainerConfigError', 'secret "settings" not found')] },
        'ContainerNotCreated',
        /secret "settings" not found/,
      ],
    ])('%s', async (_what, status, reason, words) => {
      const name = reason.toLowerCase();
      await createPool(name, { replicas: 1 });
      await until('its pod', LIMIT_MS, async () => (await podsOf(name)).length === 1);
      const [pod] = await podsOf(name);
      await kube.patchStatus(PODS, POOLS, pod?.metadata.name ?? '', { status });
      await untilStalled(name, reason, words);
    });

    test('a runtime that crashes', async () => {
      await createPool('crashing', { replicas: 1 });
      await until('its pod', LIMIT_MS, async () => (await podsOf('crashing')).length === 1);
      const [pod] = await podsOf('crashing');
      const terminated = { exitCode: 2, reason: 'Error', message: 'WARMPOOL_PORT is missing' };
      const containerStatuses = [{ ...aWaiting('', ''), state: { terminated } }];
      await kube.patchStatus(PODS, POOLS, pod?.metadata.name ?? '', { status: { phase: 'Failed', containerStatuses } });
      await until('it to be stalled', LIMIT_MS, async () => (await stalled('crashing'))?.reason === 'BootFailing');
      expect((await stalled('crashing'))?.message).toMatch(/exit code 2 \(Error\): WARMPOOL_PORT is missing/);
    });

    test('a namespace where the operator has no rights', async () => {
      const namespace = await admin.newNamespace();
      await createPool('foreign', { replicas: 1 }, namespace);
      const condition = async () =>
        (await kube.get<WarmPool>(WARM_POOLS, namespace, 'foreign')).status?.conditions?.find(
          ({ type }) => type === 'Stalled',
        );
      await until('it to be told', LIMIT_MS, async () => (await condition())?.reason === 'NotPermitted');
      expect((await condition())?.message).toMatch(/cannot create resource "pods".*kubectl apply -k manifests\/pools/);
      await kube.delete(WARM_POOLS, namespace, 'foreign');
    });
  });

  test('pods whose template is old are replaced within the budget', async () => {
    await createPool('rolled', { replicas: 3 });
    await until('three pods', LIMIT_MS, async () => (await podsOf('rolled')).length === 3);
    const before = new Set((await podsOf('rolled')).map(({ metadata }) => metadata.uid));
    const template = { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24.1' }] } };
    await kube.patch(WARM_POOLS, POOLS, 'rolled', { spec: { template } });
    // none was ever ready, so none is kept for the sake of claims
    await until('three new pods', LIMIT_MS, async () => {
      const pods = (await podsOf('rolled')).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      return pods.length === 3 && pods.every(({ metadata }) => !before.has(metadata.uid));
    });
    const images = (await podsOf('rolled')).map(({ spec }) => spec.containers[0]?.image);
    expect(new Set(images)).toEqual(new Set(['warmpool.dev/runtime-nodejs:24.1']));
  });

  test('a namespace that is being deleted is left in peace', async () => {
    const namespace = await admin.newNamespace();
    const pools = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: 'operator' } };
    await admin.send('POST', `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      ...pools,
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'warmpool-operator-in-pool-namespace',
      },
      subjects: [{ kind: 'ServiceAccount', name: 'warmpool-operator', namespace: SYSTEM }],
    });
    await createPool('ending', { replicas: 1 }, namespace);
    const list = (): Promise<{ items: Stored<Pod>[] }> =>
      kube.list<Pod>(PODS, namespace, { labelSelector: LABEL_POOL });
    await until('its pod', LIMIT_MS, async () => (await list()).items.length === 1);
    await admin.send('DELETE', `/api/v1/namespaces/${namespace}`);
    const [pod] = (await list()).items;
    await kube.delete(PODS, namespace, pod?.metadata.name ?? '', { gracePeriodSeconds: 0 });
    const reason = async (): Promise<string | undefined> =>
      (await kube.get<WarmPool>(WARM_POOLS, namespace, 'ending')).status?.conditions?.find(
        ({ type }) => type === 'Stalled',
      )?.reason;
    await until('the pool to say so', LIMIT_MS, async () => (await reason()) === 'NamespaceTerminating');
    await kube.delete(WARM_POOLS, namespace, 'ending');
  });

  test('when the leader dies the label moves with the leadership', { timeout: 90_000 }, async () => {
    const [leader = ''] = await serving();
    await operators.get(leader)?.kill9();
    await until('the other to serve', TAKEOVER_MS, async () => {
      const now = await serving();
      return now.length === 1 && now[0] !== leader;
    });
    operators.delete(leader);
    expect(await everyOperator('/readyz')).toEqual([200]);
  });
});

function aWaiting(reason: string, message: string): object {
  const state = { waiting: { reason, message } };
  return { name: 'runtime', image: 'registry/none:1', imageID: '', ready: false, restartCount: 0, state };
}

/** The least that Pod Security lets in. */
function restricted(): Pod['spec'] {
  return {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        ...{ name: 'program', image: 'none' },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
}
