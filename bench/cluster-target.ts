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
import type { BenchTarget } from './target.ts';

const LIMIT_MS = 120_000;
const FILE = 'index.js';

/** The product as it is installed from its manifests, on a real node on this machine. */
export class ClusterTarget implements BenchTarget {
  readonly poolName = 'bench';
  readonly namespace = POOL_NAMESPACE;
  readonly emptyPath = `/v1/claims/${POOL_NAMESPACE}/nobody`;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly #own: OwnCluster;
  readonly #admin: AdminApi;
  readonly #codeServer: CodeServer;
  readonly #fn: PackedFunction;
  readonly #source: string;
  readonly #replicas: number;
  #nextCold = 0;

  private constructor(
    parts: { own: OwnCluster; platform: Platform; codeServer: CodeServer; fn: PackedFunction; source: string },
    replicas: number,
  ) {
    const { own, platform, codeServer, fn, source } = parts;
    this.#own = own;
    this.#admin = new AdminApi(own.cluster);
    this.#codeServer = codeServer;
    this.#fn = fn;
    this.#source = source;
    this.#replicas = replicas;
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
      await createPool(kubectl, 'bench', replicas);
      const platform = await Platform.create(kubectl, 'bench');
      const codeServer = await CodeServer.listen(own.cluster.node.network.hostIp);
      return new ClusterTarget({ own, platform, codeServer, fn, source }, replicas);
    } catch (error) {
      await own.cluster.stop();
      throw error;
    }
  }

  claimRequest(claimId: string): ClaimRequestInput {
    return { ...claimFor(this.#fn, claimId), code: this.#codeServer.add(FILE, this.#source) };
  }

  async filled(): Promise<void> {
    const pool = `/apis/warmpool.dev/v1alpha1/namespaces/${this.namespace}/warmpools/${this.poolName}`;
    const untilMs = performance.now() + LIMIT_MS;
    while (performance.now() < untilMs) {
      const { body } = await this.#admin.send('GET', pool);
      const { status } = body as { status?: { readyReplicas?: number } };
      if ((status?.readyReplicas ?? 0) >= this.#replicas) return;
      await sleep(25);
    }
    throw new Error(`the pool does not have ${this.#replicas} standby pods after ${LIMIT_MS / 1000} s`);
  }

  /** A plain pod of the same image with the same function: from its creation to Ready and the end of its first answer. */
  async coldStart(): Promise<{ firstResponseMs: number; importMs: number }> {
    const name = `cold-${this.#nextCold++}`;
    const pods = `/api/v1/namespaces/${this.namespace}/pods`;
    const startedMs = performance.now();
    const created = await this.#admin.send('POST', pods, this.#coldPod(name));
    if (created.status !== 201) throw new Error(`the cold pod was refused: ${JSON.stringify(created.body)}`);
    const address = await this.#untilReady(`${pods}/${name}`);
    const answer = await invokeOnce(`http://${address}:8080`, this.#fn.function.invoke);
    const firstResponseMs = performance.now() - startedMs;
    const problem = unexpected(answer, this.#fn.function.invoke.expect);
    if (problem !== undefined) throw new Error(problem);
    await this.#admin.send('DELETE', `${pods}/${name}?gracePeriodSeconds=0`);
    return { firstResponseMs, importMs: 0 };
  }

  async stop(): Promise<void> {
    await this.#admin[Symbol.asyncDispose]();
    await this.#codeServer[Symbol.asyncDispose]();
    await this.#own.cluster.stop();
  }

  async #untilReady(pod: string): Promise<string> {
    const untilMs = performance.now() + LIMIT_MS;
    while (performance.now() < untilMs) {
      const { status } = (await this.#admin.send('GET', pod)).body as {
        status?: { podIP?: string; conditions?: { type: string; status: string }[] };
      };
      const isReady = status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false;
      if (isReady && status?.podIP !== undefined) return status.podIP;
      await sleep(10);
    }
    throw new Error(`a cold pod is not Ready after ${LIMIT_MS / 1000} s`);
  }

  #coldPod(name: string): object {
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
        automountServiceAccountToken: false,
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
