import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { CodeServer } from '../code-server.ts';
import { Kubectl, until } from '../kubectl.ts';
import { createPool, installProduct, newPoolNamespace, Platform, POOL_NAMESPACE } from '../product.ts';
import { readNode } from './node-state.ts';

const access = inject('cluster');
const LIMIT_MS = 120_000;
const IMAGE = 'warmpool.dev/runtime-nodejs:24';

interface Trouble {
  pool: string;
  reason: string;
  /** In the words of `kubectl describe wp`, in the conditions and in the events. */
  words: RegExp;
  template: object;
}

const container = (more: object): object => ({ name: 'runtime', image: IMAGE, ...more });
const TROUBLES: Trouble[] = [
  {
    pool: 'no-image',
    reason: 'ImagePullFailing',
    words:
      /image 127\.0\.0\.1:1\/none:1 of container runtime cannot be pulled: .*connection refused.*check the name in spec\.template/,
    template: { containers: [container({ image: '127.0.0.1:1/none:1' })] },
  },
  {
    pool: 'no-room',
    reason: 'Unschedulable',
    words: /no node takes the pod: 0\/1 nodes are available: 1 Insufficient memory\..*add nodes, or change requests/,
    template: { containers: [container({ resources: { requests: { memory: '900Gi' } } })] },
  },
  {
    pool: 'crashing',
    reason: 'BootFailing',
    words: /failed before standby: container runtime ended with exit code 3 \(Error\): cannot find my settings/,
    template: {
      containers: [
        container({
          command: ['/usr/local/bin/node', '--eval'],
          args: ["require('fs').writeFileSync('/dev/termination-log', 'cannot find my settings'); process.exit(3)"],
        }),
      ],
    },
  },
  {
    pool: 'refused',
    reason: 'PodRefused',
    words: /violates PodSecurity "restricted:latest": host namespaces \(hostNetwork=true\).*change spec\.template/,
    template: { hostNetwork: true, containers: [container({})] },
  },
  {
    pool: 'no-secret',
    reason: 'ContainerNotCreated',
    words: /container runtime cannot be made \(CreateContainerConfigError\): secret "settings" not found/,
    template: { containers: [container({ envFrom: [{ secretRef: { name: 'settings' } }] })] },
  },
];

describe.skipIf(access?.own === undefined)('a pool in trouble on a real node', () => {
  let kubectl: Kubectl;

  const createBrokenPool = (name: string, namespace: string, template: object): Promise<void> =>
    kubectl.apply({
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPool',
      metadata: { name, namespace },
      spec: { runtime: { name: 'nodejs', version: '24' }, replicas: 1, template: { spec: template } },
    });
  const described = (name: string, namespace: string): Promise<string> =>
    kubectl.run(['describe', 'wp', name, '--namespace', namespace]);
  const untilDescribed = async (name: string, namespace: string, reason: string, words: RegExp): Promise<void> => {
    let text = '';
    await until(`${name} to say ${reason}`, LIMIT_MS, async () => {
      text = await described(name, namespace);
      const [conditions = '', events = ''] = text.split('\nEvents:');
      const isTold = [conditions, events].every(
        (part) => part.includes(reason) && words.test(part.replaceAll(/\s+/g, ' ')),
      );
      if (!isTold) throw new Error(text);
      return true;
    });
  };

  beforeAll(async () => {
    if (access === undefined) return;
    kubectl = new Kubectl(access);
    await installProduct(kubectl);
    await Promise.all(TROUBLES.map(({ pool, template }) => createBrokenPool(pool, POOL_NAMESPACE, template)));
  });
  afterAll(async () => {
    if (access?.own === undefined) return;
    await kubectl.run(['delete', 'warmpools', ...TROUBLES.map(({ pool }) => pool), '--namespace', POOL_NAMESPACE]);
  });

  test.each(TROUBLES)('$pool: kubectl describe says $reason and what to do', ({ pool, reason, words }) =>
    untilDescribed(pool, POOL_NAMESPACE, reason, words),
  );

  test('in a namespace with a quota: it says which, and fills by itself when there is room', async () => {
    const namespace = await newPoolNamespace(kubectl);
    const metadata = { name: 'small', namespace };
    await kubectl.apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata, spec: { hard: { pods: '0' } } });
    await until('the quota to count', LIMIT_MS, async () => {
      const quota = await kubectl.get<{ status?: { used?: object } }>(namespace, 'resourcequota', 'small');
      return quota.status?.used !== undefined;
    });
    await createBrokenPool('bounded', namespace, { containers: [container({})] });
    await untilDescribed(
      'bounded',
      namespace,
      'QuotaExceeded',
      /exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0.*kubectl describe quota/,
    );
    await kubectl.run(['delete', 'resourcequota', 'small', '--namespace', namespace]);
    await kubectl.run([
      'wait',
      'warmpool/bounded',
      '--namespace',
      namespace,
      '--for=condition=Ready',
      `--timeout=${LIMIT_MS}ms`,
    ]);
    await kubectl.run(['delete', 'namespace', namespace, '--wait=false']);
  });

  test('a namespace that is deleted takes pool, standby pods and instances along, and nothing of them stays on the node', async () => {
    if (access?.own === undefined) return;
    const { nodeFolder, network } = access.own;
    const namespace = await newPoolNamespace(kubectl);
    await using codeServer = await CodeServer.listen(network.hostIp);
    await createPool(kubectl, 'ending', 2, { namespace });
    const platform = await Platform.create(kubectl, 'ending', namespace);
    const { claim } = await platform.claim('ending', {
      claimId: 'ending',
      function: { name: 'faults', version: '1', tenant: 'acme' },
      code: codeServer.add('index.mjs', 'export const handler = () => 1;'),
      handler: 'index.handler',
    });
    const uids = (await kubectl.list<{ metadata: { uid: string } }>(namespace, 'pods')).map(
      ({ metadata }) => metadata.uid,
    );
    expect(uids).toContain(claim.pod?.uid);
    await kubectl.run(['delete', 'namespace', namespace, `--timeout=${LIMIT_MS}ms`]);
    await until('nothing to be left on the node', LIMIT_MS, async () => {
      const { processes, volumeMounts, records } = await readNode(nodeFolder);
      const left = [...processes.map(({ podUid = '' }) => podUid), ...volumeMounts.keys(), ...records];
      return uids.every((uid) => !left.includes(uid));
    });
  });
});
