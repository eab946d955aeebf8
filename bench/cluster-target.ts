import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { claimFor } from '@warmpool/local/claim-client.ts';
import { invokeOnce, unexpected } from '@warmpool/local/invoke.ts';
import type { PackedFunction } from '@warmpool/local/pack-functions.ts';
import { AdminApi } from '../test/apiserver/admin-api.ts';
import { bringUpCluster, type OwnCluster } from '../test/cluster/bring-up.ts';
import { CodeServer } from '../test/cluster/code-server.ts';
import { Kubectl } from '../test/cluster/kubectl.ts';
import { createPool, installProduct, Platform, POOL_NAMESPACE } from '../test/cluster/product.ts';
import { poolNamed } from './pool-summary.ts';
import type { BenchTarget, ColdStart, PoolFill } from './target.ts';

const LIMIT_MS = 120_000;
const FILE = 'index.js';
/** For what follows the last change of a pod: kubelet and controllers look at it once more. */
const SETTLE_MS = 300;

/** Claims need rights in their own namespace only; the list of pools is of all of them. */
const POOL_READER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRoleBinding',
  metadata: { name: 'bench-pool-reader' },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'warmpool-claimer' },
  subjects: [{ kind: 'ServiceAccount', name: 'bench', namespace: POOL_NAMESPACE }],
};

interface PodObject {
  metadata: { deletionTimestamp?: string };
  status: { phase?: string; podIP?: string; conditions?: { type: string; status: string }[] };
}

/** The product as it is installed from its manifests, on a real node on this machine. */
export class ClusterTarget implements BenchTarget {
  readonly poolName = 'bench';
  readonly namespace = POOL_NAMESPACE;
  readonly emptyPath = `/v1/claims/${POOL_NAMESPACE}/nobody`;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly fill: PoolFill;
  readonly #own: OwnCluster;
  readonly #admin: AdminApi;
  readonly #codeServer: CodeServer;
  readonly #fn: PackedFunction;
  readonly #source: string;
  readonly #replicas: number;
  #nextCold = 0;

  private constructor(
    parts: { own: OwnCluster; platform: Platform; codeServer: CodeServer; fn: PackedFunction; source: string },
    fill: PoolFill,
  ) {
    const { own, platform, codeServer, fn, source } = parts;
    this.fill = fill;
    this.#own = own;
    this.#admin = new AdminApi(own.cluster);
    this.#codeServer = codeServer;
    this.#fn = fn;
    this.#source = source;
    this.#replicas = fill.pods;
    this.url = platform.url;
    this.headers = platform.headers;
  }

  static async start(
    env: NodeJS.ProcessEnv,
    functions: string,
    fn: PackedFunction,
    replicas: number,
  ): Promise<ClusterTarget> {
    const source = await readFile(path.join(functions, fn.function.name, FILE), 'utf8');
    const own = await bringUpCluster(env);
    if ('missing' in own) throw new Error(`--target cluster needs ${own.missing}`);
    try {
      const kubectl = new Kubectl({ kubectl: own.kubectl, kubeconfig: own.cluster.kubeconfig });
      await installProduct(kubectl);
      const startedMs = performance.now();
      await createPool(kubectl, 'bench', replicas);
      const ms = Math.round(performance.now() - startedMs);
      const fill = { pods: replicas, ms, throttledRequests: await throttledRequests(kubectl) };
      const platform = await Platform.create(kubectl, 'bench');
      await kubectl.apply(POOL_READER);
      const codeServer = await CodeServer.listen(own.cluster.node.network.hostIp);
      return new ClusterTarget({ own, platform, codeServer, fn, source }, fill);
    } catch (error) {
      await own.cluster.stop();
      throw error;
    }
  }

  claimRequest(claimId: string): ClaimRequestInput {
    return { ...claimFor(this.#fn, claimId), code: this.#codeServer.add(FILE, this.#source) };
  }

  /** As the claim API says it: the status of the pool follows a moment later. */
  async filled(): Promise<void> {
    await this.#until(`the pool does not have ${this.#replicas} standby pods`, 10, async () => {
      const { readyReplicas } = await poolNamed(this.poolName, this.url, this.headers);
      return readyReplicas >= this.#replicas;
    });
  }

  async quiet(): Promise<void> {
    await this.filled();
    await this.#until('pods are still being started or taken down', 200, async () => {
      const { items } = (await this.#admin.send('GET', this.#podsPath)).body as unknown as { items: PodObject[] };
      return items.length === this.#replicas && items.every((pod) => isReady(pod) && !isTerminating(pod));
    });
    await sleep(SETTLE_MS);
  }

  /** A plain pod of the same image with the same function, from its creation. */
  async coldStart(): Promise<ColdStart> {
    const startedMs = performance.now();
    let runningMs: number | undefined;
    const { name, address } = await this.#runPod({ withVolume: true }, (pod) => {
      if (pod.status.phase === 'Running') runningMs ??= performance.now() - startedMs;
      return isReady(pod);
    });
    const readyMs = performance.now() - startedMs;
    const answer = await invokeOnce(`http://${address}:8080`, this.#fn.function.invoke);
    const firstResponseMs = performance.now() - startedMs;
    const problem = unexpected(answer, this.#fn.function.invoke.expect);
    if (problem !== undefined) throw new Error(problem);
    await this.#removePod(name);
    const pod = {
      runningMs: runningMs ?? readyMs,
      readyMs,
      runningWithoutVolumeMs: await this.#runningWithoutVolume(),
    };
    return { firstResponseMs, importMs: 0, pod };
  }

  async #runningWithoutVolume(): Promise<number> {
    const startedMs = performance.now();
    const { name } = await this.#runPod({ withVolume: false }, ({ status }) => status.phase === 'Running');
    const runningMs = performance.now() - startedMs;
    await this.#removePod(name);
    return runningMs;
  }

  /** `withVolume`: the service account's token, which every pod has that does not ask to be without. */
  async #runPod(
    { withVolume }: { withVolume: boolean },
    isThere: (pod: PodObject) => boolean,
  ): Promise<{ name: string; address: string }> {
    const name = `cold-${this.#nextCold++}`;
    const created = await this.#admin.send('POST', this.#podsPath, this.#coldPod(name, withVolume));
    if (created.status !== 201) throw new Error(`the cold pod was refused: ${JSON.stringify(created.body)}`);
    let address = '';
    await this.#until('a cold pod is not there', 10, async () => {
      const pod = (await this.#admin.send('GET', `${this.#podsPath}/${name}`)).body as unknown as PodObject;
      address = pod.status.podIP ?? '';
      return isThere(pod);
    });
    return { name, address };
  }

  async #removePod(name: string): Promise<void> {
    await this.#admin.send('DELETE', `${this.#podsPath}/${name}?gracePeriodSeconds=0`);
  }

  get #podsPath(): string {
    return `/api/v1/namespaces/${this.namespace}/pods`;
  }

  async stop(): Promise<void> {
    await this.#admin[Symbol.asyncDispose]();
    await this.#codeServer[Symbol.asyncDispose]();
    await this.#own.cluster.stop();
  }

  async #until(problem: string, everyMs: number, isSo: () => Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + LIMIT_MS;
    while (performance.now() < untilMs) {
      if (await isSo()) return;
      await sleep(everyMs);
    }
    throw new Error(`${problem} after ${LIMIT_MS / 1000} s`);
  }

  #coldPod(name: string, withVolume: boolean): object {
    const program = `const m = { exports: {} };
((module, exports) => { ${this.#source} })(m, m.exports);
require('http').createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  response.end(JSON.stringify(await m.exports.handler(body === '' ? {} : JSON.parse(body))));
}).listen(8080);`;
    return {
      ...{ apiVersion: 'v1', kind: 'Pod' },
      metadata: { name, namespace: this.namespace },
      spec: {
        automountServiceAccountToken: withVolume,
        securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'function',
            image: 'warmpool.dev/runtime-nodejs:24',
            command: ['/usr/local/bin/node', '-e', program],
            readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 },
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          },
        ],
      },
    };
  }
}

/** Of anybody, since the apiserver started. */
async function throttledRequests(kubectl: Kubectl): Promise<number> {
  const metrics = await kubectl.run(['get', '--raw', '/metrics']);
  const counts = metrics.matchAll(/^apiserver_request_total\{[^}]*code="429"[^}]*\} (\S+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

function isReady({ status }: PodObject): boolean {
  return status.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
}

function isTerminating({ metadata }: PodObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}
