import { join } from 'node:path';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { request } from 'undici';
import { type Kubectl, until } from './kubectl.ts';

export const OPERATOR_NAMESPACE = 'warmpool-system';
export const NODE_NAMESPACE = 'warmpool-node';
/** The one that the default overlay makes for pools. */
export const POOL_NAMESPACE = 'warmpool-pools';

const OVERLAY = join(import.meta.dirname, '../../manifests/overlays/default');
const ROLLOUT_LIMIT_S = 180;
const POOL_LIMIT_MS = 120_000;

/** As docs/first-claim.md does it; nothing changes where it is installed already. */
export async function installProduct(kubectl: Kubectl): Promise<void> {
  await kubectl.run(['apply', '--kustomize', OVERLAY]);
  await untilRolledOut(kubectl);
}

export async function untilRolledOut(kubectl: Kubectl): Promise<void> {
  const wait = (namespace: string, what: string): Promise<string> =>
    kubectl.run(['rollout', 'status', what, '--namespace', namespace, `--timeout=${ROLLOUT_LIMIT_S}s`]);
  await wait(OPERATOR_NAMESPACE, 'deployment/warmpool-operator');
  await wait(NODE_NAMESPACE, 'daemonset/warmpool-host-agent');
}

export interface ClaimAnswer {
  status: number;
  claim: Claim;
  /** As it was sent. */
  body: unknown;
}

/** A platform: a service account that may claim in the pool's namespace. */
export class Platform {
  readonly url: string;
  readonly headers: Record<string, string>;

  private constructor(url: string, token: string) {
    this.url = url;
    this.headers = { authorization: `Bearer ${token}` };
  }

  static async create(kubectl: Kubectl, name: string): Promise<Platform> {
    const metadata = { name, namespace: POOL_NAMESPACE };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'warmpool-claimer' };
    const subjects = [{ kind: 'ServiceAccount', ...metadata }];
    await kubectl.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata, roleRef, subjects },
    );
    const token = await kubectl.run([
      'create',
      'token',
      name,
      '--namespace',
      POOL_NAMESPACE,
      '--audience=warmpool.dev',
    ]);
    const service = await kubectl.get<{ spec: { clusterIP: string } }>(
      OPERATOR_NAMESPACE,
      'service',
      'warmpool-claims',
    );
    return new Platform(`http://${service.spec.clusterIP}`, token.trim());
  }

  async claim(pool: string, body: object): Promise<ClaimAnswer> {
    return this.#send('POST', `/v1/pools/${POOL_NAMESPACE}/${pool}/claims`, body);
  }

  async release(claimId: string): Promise<ClaimAnswer> {
    return this.#send('DELETE', `/v1/claims/${POOL_NAMESPACE}/${claimId}`);
  }

  async #send(method: 'POST' | 'DELETE', path: string, sent?: object): Promise<ClaimAnswer> {
    const { statusCode, body } = await request(`${this.url}${path}`, {
      method,
      headers: { ...this.headers, 'content-type': 'application/json' },
      body: sent === undefined ? null : JSON.stringify(sent),
      headersTimeout: 60_000,
    });
    const answer = await body.json();
    return { status: statusCode, claim: answer as Claim, body: answer };
  }
}

/** A pool of Node runtimes, when all of its pods are standby. */
export async function createPool(kubectl: Kubectl, name: string, replicas: number): Promise<void> {
  const limits = { memory: '256Mi' };
  const containers = [
    { name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24', resources: { requests: { cpu: '10m' }, limits } },
  ];
  await kubectl.apply({
    apiVersion: 'warmpool.dev/v1alpha1',
    kind: 'WarmPool',
    metadata: { name, namespace: POOL_NAMESPACE },
    spec: { runtime: { name: 'nodejs', version: '24' }, replicas, template: { spec: { containers } } },
  });
  await untilFull(kubectl, name, replicas);
}

/** Until the pool says so and has as many pods: what it says may be of a moment ago. */
export async function untilFull(kubectl: Kubectl, name: string, replicas: number): Promise<void> {
  await until(`${replicas} standby pods in ${name}`, POOL_LIMIT_MS, async () => {
    const pool = await kubectl.get<{ status?: { readyReplicas?: number } }>(POOL_NAMESPACE, 'warmpools', name);
    if (pool.status?.readyReplicas !== replicas) return false;
    const labels = `warmpool.dev/pool=${name},warmpool.dev/state=standby`;
    const names = await kubectl.run(['get', 'pods', '-n', POOL_NAMESPACE, '-l', labels, '-o', 'name']);
    return names.split('\n').filter((line) => line !== '').length === replicas;
  });
}
