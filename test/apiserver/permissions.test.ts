import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { AdminApi } from './admin-api.ts';
import { MANIFESTS } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';

const access = inject('apiserver');
const binary = inject('kubectl');
const CLAIMS = 'warmpoolclaims.warmpool.dev';

/** `verb resource[/subresource][.group] [namespace] [name]` */
type Ask = [verb: string, resource: string, namespace?: string, name?: string];

interface Rule {
  apiGroups: string[];
  resources: string[];
  verbs: string[];
}

describe.skipIf(access === undefined || binary === undefined)('the service account of', () => {
  let admin: AdminApi;

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    await using kubectl = await Kubectl.start(binary, access);
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
    admin = new AdminApi(access);
    await admin.send('POST', '/api/v1/namespaces', { metadata: { name: 'elsewhere' } });
  });
  afterAll(() => admin[Symbol.asyncDispose]());

  async function may(account: string, [verb, what, namespace = '', name = '']: Ask): Promise<boolean> {
    const [ns = '', user = ''] = account.split('/');
    const [path = '', ...group] = what.split('.');
    const [resource, subresource] = path.split('/');
    const spec = { resourceAttributes: { verb, resource, subresource, group: group.join('.'), namespace, name } };
    const { status, body } = await admin.send(
      'POST',
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      { spec },
      {
        'impersonate-user': `system:serviceaccount:${ns}:${user}`,
      },
    );
    expect(status, JSON.stringify(body)).toBe(201);
    return (body['status'] as { allowed: boolean }).allowed;
  }

  const OPERATOR = 'warmpool-system/warmpool-operator';
  const HOST_AGENT = 'warmpool-node/warmpool-host-agent';
  const POOLS = 'warmpool-pools';

  const OPERATOR_MAY: Ask[] = [
    ['list', 'warmpools.warmpool.dev'],
    ['watch', 'warmpools.warmpool.dev'],
    ['get', 'warmpools.warmpool.dev', POOLS],
    ['list', CLAIMS],
    ['watch', CLAIMS],
    ['patch', 'warmpools/status.warmpool.dev', POOLS],
    ['patch', 'warmpoolclaims/status.warmpool.dev', POOLS],
    ['update', 'warmpools/finalizers.warmpool.dev', POOLS],
    ['update', 'warmpoolclaims/finalizers.warmpool.dev', POOLS],
    ['list', 'pods'],
    ['watch', 'pods'],
    ['list', 'pods', 'warmpool-node'],
    ['create', 'pods', POOLS],
    ['patch', 'pods', POOLS],
    ['delete', 'pods', POOLS],
    ['patch', 'pods/resize', POOLS],
    ['create', 'events.events.k8s.io', 'elsewhere'],
    ['create', 'tokenreviews.authentication.k8s.io'],
    ['create', 'subjectaccessreviews.authorization.k8s.io'],
    ['create', 'leases.coordination.k8s.io', 'warmpool-system'],
    ['get', 'leases.coordination.k8s.io', 'warmpool-system', 'warmpool-operator'],
    ['patch', 'leases.coordination.k8s.io', 'warmpool-system', 'warmpool-operator'],
    ['get', 'secrets', 'warmpool-system', 'warmpool-authority'],
    ['patch', 'secrets', 'warmpool-system', 'warmpool-authority'],
    ['get', 'secrets', 'warmpool-node', 'warmpool-host-agent-tls'],
    ['patch', 'secrets', 'warmpool-node', 'warmpool-host-agent-tls'],
    ['patch', 'pods', 'warmpool-system'],
  ];
  test.each(OPERATOR_MAY)('the operator may %s %s %s %s', async (...ask) => {
    expect(await may(OPERATOR, ask)).toBe(true);
  });

  test('no rule of the operator’s roles allows what is not in that list', async () => {
    const asked = new Set(OPERATOR_MAY.map(([verb, what]) => `${verb} ${what}`));
    const text = await readFile(join(MANIFESTS, 'base/operator/rbac.yaml'), 'utf8');
    const rules = parseAllDocuments(text).flatMap((document) => (document.toJS() as { rules?: Rule[] }).rules ?? []);
    const allowed = rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((name) => verbs.map((verb) => `${verb} ${[name, group].filter(Boolean).join('.')}`)),
      ),
    );
    expect(allowed.length).toBeGreaterThan(20);
    expect(allowed.filter((each) => !asked.has(each))).toEqual([]);
  });

  test.each<Ask>([
    // Secrets of pools and of others, and all of them at once
    ['get', 'secrets', POOLS, 'code-credentials'],
    ['get', 'secrets', POOLS, 'of-a-function'],
    ['get', 'secrets', 'elsewhere', 'of-somebody'],
    ['get', 'secrets', 'kube-system', 'of-the-cluster'],
    ['get', 'secrets', 'warmpool-system', 'another'],
    ['get', 'secrets', 'warmpool-node', 'another'],
    ['list', 'secrets', POOLS],
    ['list', 'secrets', 'warmpool-system'],
    ['list', 'secrets'],
    ['create', 'secrets', 'warmpool-system'],
    ['delete', 'secrets', 'warmpool-system', 'warmpool-authority'],
    // pods where nobody has asked for pools, and into those that run
    ['create', 'pods', 'elsewhere'],
    ['delete', 'pods', 'elsewhere'],
    ['patch', 'pods', 'kube-system'],
    ['create', 'pods', 'warmpool-system'],
    ['create', 'pods', 'warmpool-node'],
    ['delete', 'pods', 'warmpool-node'],
    ['create', 'pods/exec', POOLS],
    ['get', 'pods/log', POOLS],
    ['create', 'pods/portforward', POOLS],
    ['create', 'pods/eviction', POOLS],
    ['patch', 'pods/ephemeralcontainers', POOLS],
    // more than its own
    ['patch', 'warmpools.warmpool.dev', POOLS],
    ['delete', 'warmpools.warmpool.dev', POOLS],
    ['create', CLAIMS, POOLS],
    ['delete', CLAIMS, POOLS],
    ['create', 'serviceaccounts/token', 'warmpool-system'],
    ['impersonate', 'users'],
    ['bind', 'clusterroles.rbac.authorization.k8s.io'],
    ['create', 'clusterrolebindings.rbac.authorization.k8s.io'],
    ['create', 'rolebindings.rbac.authorization.k8s.io', POOLS],
    ['list', 'nodes'],
    ['get', 'nodes/proxy'],
    ['patch', 'leases.coordination.k8s.io', 'kube-system', 'kube-scheduler'],
    ['patch', 'daemonsets.apps', 'warmpool-node'],
    ['patch', 'deployments.apps', 'warmpool-system'],
  ])('the operator may not %s %s %s %s', async (...ask) => {
    expect(await may(OPERATOR, ask)).toBe(false);
  });

  test.each<Ask>([
    ['list', 'pods'],
    ['get', 'pods', 'warmpool-node'],
    ['get', 'secrets', 'warmpool-node', 'warmpool-host-agent-tls'],
    ['get', 'secrets', 'warmpool-system', 'warmpool-authority'],
    ['list', 'nodes'],
    ['create', CLAIMS, POOLS],
    ['create', 'events.events.k8s.io', 'warmpool-node'],
    ['create', 'csinodes.storage.k8s.io'],
    ['get', 'secrets', POOLS, 'code-credentials'],
    ['list', 'secrets', POOLS],
  ])('a host-agent may do nothing: not %s %s %s %s', async (...ask) => {
    expect(await may(HOST_AGENT, ask)).toBe(false);
  });
});
