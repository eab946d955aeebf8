import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { AdminApi } from './admin-api.ts';
import { MANIFESTS, withOverlay } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';

const access = inject('apiserver');
const binary = inject('kubectl');

interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  spec: Record<string, unknown>;
  rules?: { apiGroups: string[]; resources: string[]; verbs: string[] }[];
}

interface Container {
  args?: string[];
  securityContext: Record<string, unknown>;
  volumeMounts: { name: string; readOnly?: boolean }[];
}

interface PodTemplate {
  spec: { containers: Container[] };
}

describe.skipIf(access === undefined || binary === undefined)('the manifests', () => {
  let kubectl: Kubectl;
  let admin: AdminApi;

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    kubectl = await Kubectl.start(binary, access);
    admin = new AdminApi(access);
    // a dry run is refused when the namespace that an object goes to is only tried, too
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
  });
  afterAll(async () => {
    await kubectl[Symbol.asyncDispose]();
    await admin[Symbol.asyncDispose]();
  });

  const documentsOf = async (folder: string): Promise<Manifest[]> =>
    parseAllDocuments(await kubectl.run('kustomize', folder)).map((document) => document.toJS() as Manifest);

  test.each(['default', 'dev', 'ha'])(
    'overlay %s is taken by the apiserver as it is, without a warning',
    async (overlay) => {
      const said = await kubectl.run(
        'apply',
        '--dry-run=server',
        '--warnings-as-errors',
        '-k',
        join(MANIFESTS, 'overlays', overlay),
      );
      expect(said.split('\n').filter((line) => line.includes('server dry run')).length).toBeGreaterThan(20);
    },
  );

  test('what was installed is not changed by installing it again', async () => {
    const folder = join(MANIFESTS, 'overlays/default');
    const said = await kubectl.run('apply', '-k', folder);
    const changed = said.split('\n').filter((line) => line !== '' && !line.endsWith(' unchanged'));
    // server-side defaults show as `configured` for definitions, whose kustomize label comes first
    expect(changed.filter((line) => !line.startsWith('customresourcedefinition'))).toEqual([]);
  });

  test('a Secret that the operator has filled is left as it is by installing again', async () => {
    const path = '/api/v1/namespaces/warmpool-system/secrets/warmpool-authority';
    const data = { probe: Buffer.from('kept').toString('base64') };
    await admin.send('PATCH', path, { data }, { 'content-type': 'application/merge-patch+json' });
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
    expect((await admin.send('GET', path)).body['data']).toMatchObject(data);
    await admin.send('PATCH', path, { data: { probe: null } }, { 'content-type': 'application/merge-patch+json' });
  });

  test('another namespace gets pools by one kustomization', async () => {
    const text = await withOverlay({ namespace: 'team-a', resources: ['../pools'] }, (folder) =>
      kubectl.run('kustomize', folder),
    );
    const built = parseAllDocuments(text).map(
      (document) => document.toJS() as Manifest & { subjects?: { namespace: string }[] },
    );
    expect(built.find(({ kind }) => kind === 'Namespace')?.metadata.name).toBe('team-a');
    const binding = built.find(({ kind }) => kind === 'RoleBinding');
    expect(binding?.metadata.namespace).toBe('team-a');
    expect(binding?.subjects?.[0]?.namespace).toBe('warmpool-system');
  });

  /** Of the default overlay with this on it; taken by the apiserver, unless it does not know the kinds. */
  const withComponent = (component: string, isKnown = true): Promise<Manifest[]> =>
    withOverlay({ resources: ['../overlays/default'], components: [component] }, async (folder) => {
      if (isKnown) await kubectl.run('apply', '--dry-run=server', '--warnings-as-errors', '-k', folder);
      return documentsOf(folder);
    });

  test('the ServiceMonitor component fits on an overlay', async () => {
    const built = await withComponent('../components/service-monitor', false);
    expect(built.filter(({ kind }) => kind === 'ServiceMonitor')).toHaveLength(2);
  });

  test('the Python preparer fits on an overlay, beside what is prepared without it, and without any right', async () => {
    const [plain, built] = [
      await documentsOf(join(MANIFESTS, 'overlays/default')),
      await withComponent('../components/prepare-python'),
    ];
    const containersOf = (documents: Manifest[]): Container[] => {
      const spec = documents.find(({ kind }) => kind === 'DaemonSet')?.spec as { template: PodTemplate } | undefined;
      return spec?.template.spec.containers ?? [];
    };
    const [before] = containersOf(plain);
    const [hostAgent, preparer] = containersOf(built);
    expect(hostAgent?.args).toEqual([...(before?.args ?? []), '--preparer=unix:/run/warmpool/preparers/python.sock']);
    expect(preparer?.securityContext).toMatchObject({ runAsNonRoot: true, capabilities: { drop: ['ALL'] } });
    // nothing of the host but the trees, and those it cannot change
    expect(preparer?.volumeMounts.filter(({ readOnly }) => readOnly !== true).map(({ name }) => name)).toEqual([
      'preparers',
    ]);
  });

  test('the mirror fits on an overlay, and lets in the host-agents, where they are', async () => {
    const built = await withComponent('../mirror');
    const hostAgents = built.find(({ kind }) => kind === 'DaemonSet');
    const policy = built.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'warmpool-mirror');
    expect(policy?.spec).toMatchObject({
      ingress: [
        {
          from: [
            {
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': hostAgents?.metadata.namespace } },
              podSelector: hostAgents?.spec['selector'],
            },
          ],
        },
      ],
    });
  });

  test('overlay ha has two operators on different nodes, of which one at a time may be evicted', async () => {
    const built = await documentsOf(join(MANIFESTS, 'overlays/ha'));
    const operator = built.find(({ kind }) => kind === 'Deployment');
    const budget = built.find(({ kind }) => kind === 'PodDisruptionBudget');
    expect(operator?.spec['replicas']).toBe(2);
    expect(budget).toMatchObject({
      metadata: { namespace: operator?.metadata.namespace },
      spec: { maxUnavailable: 1, selector: operator?.spec['selector'] },
    });
    expect(operator).toHaveProperty(
      'spec.template.spec.topologySpreadConstraints',
      expect.arrayContaining([
        expect.objectContaining({
          topologyKey: 'kubernetes.io/hostname',
          maxSkew: 1,
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: operator?.spec['selector'],
        }),
      ]),
    );
  });

  test('no role has a wildcard', async () => {
    const rules = (await documentsOf(join(MANIFESTS, 'overlays/ha'))).flatMap(({ rules: found = [] }) => found);
    expect(rules.length).toBeGreaterThan(15);
    expect(rules.flatMap((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs])).not.toContain('*');
  });

  const deployment = '/apis/apps/v1/namespaces/warmpool-system/deployments/warmpool-operator';
  test('the operator fits into its own restricted namespace', async () => {
    const { body } = await admin.send('GET', deployment);
    const { template } = body['spec'] as { template: { metadata: object; spec: object } };
    const pod = { metadata: { ...template.metadata, name: 'operator-as-deployed' }, spec: template.spec };
    const created = await admin.send('POST', '/api/v1/namespaces/warmpool-system/pods?dryRun=All', pod);
    expect(created).toMatchObject({ status: 201 });
  });

  test('a host-agent is refused in a namespace of pools and in the operator’s', async () => {
    const { body } = await admin.send('GET', '/apis/apps/v1/namespaces/warmpool-node/daemonsets/warmpool-host-agent');
    const { template } = body['spec'] as { template: { metadata: object; spec: object } };
    const pod = { metadata: { ...template.metadata, name: 'host-agent-as-deployed' }, spec: template.spec };
    const create = (namespace: string) => admin.send('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod);
    expect((await create('warmpool-node')).status).toBe(201);
    expect((await create('warmpool-pools')).status).toBe(403);
    expect((await create('warmpool-system')).status).toBe(403);
  });
});
