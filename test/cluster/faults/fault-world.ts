import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { ClusterAccess } from '../global-setup.ts';
import type { CodeServer } from '../code-server.ts';
import { type Kubectl, until } from '../kubectl.ts';
import { createPool, POOL_NAMESPACE, startProduct, untilFull } from '../product.ts';
import { Claimant } from './claimant.ts';
import { expectInvariants, type PodObject } from './invariants.ts';

const LIMIT_MS = 120_000;
const REPLICAS = { nodejs: 4, python: 1 };

/** Says whose instance it is. */
const FUNCTIONS = {
  nodejs: { fileName: 'index.mjs', source: 'export const handler = () => ({ claim: process.env.CLAIM });\n' },
  python: {
    fileName: 'index.py',
    source: "import os\ndef handler(event, context):\n    return {'claim': os.environ['CLAIM']}\n",
  },
};

/** The product on the cluster, one pool, and a platform that claims from it: what every fault happens to. */
export class FaultWorld {
  readonly pool: string;
  readonly replicas: number;
  readonly nodeFolder: string;
  readonly kubectl: Kubectl;
  readonly claimant: Claimant;
  readonly codeServer: CodeServer;

  private constructor(
    parts: Pick<FaultWorld, 'pool' | 'replicas' | 'nodeFolder' | 'kubectl' | 'claimant' | 'codeServer'>,
  ) {
    this.pool = parts.pool;
    this.replicas = parts.replicas;
    this.nodeFolder = parts.nodeFolder;
    this.kubectl = parts.kubectl;
    this.claimant = parts.claimant;
    this.codeServer = parts.codeServer;
  }

  /** `name` is that of the platform. The pool is made once and stays, whoever comes first. */
  static async start(
    access: ClusterAccess | undefined,
    name: string,
    runtime: { name: keyof typeof REPLICAS; version: string } = { name: 'nodejs', version: '24' },
  ): Promise<FaultWorld> {
    const { own, kubectl, platform, codeServer } = await startProduct(access, name);
    const pool = `faults-${runtime.name}`;
    const replicas = REPLICAS[runtime.name];
    await createPool(kubectl, pool, replicas, { runtime });
    const { fileName, source } = FUNCTIONS[runtime.name];
    const code = codeServer.add(fileName, source);
    const claimant = new Claimant(platform, (claimId) => ({
      claimId,
      function: { name: 'faults', version: '1', tenant: 'acme' },
      code,
      handler: 'index.handler',
      env: { CLAIM: claimId },
    }));
    return new FaultWorld({ pool, replicas, nodeFolder: own.nodeFolder, kubectl, claimant, codeServer });
  }

  async stop(): Promise<void> {
    await this.claimant.releaseAll();
    await this.codeServer[Symbol.asyncDispose]();
  }

  claim(claimId: string): Promise<Claim> {
    return this.claimant.claim(this.pool, claimId);
  }

  settled(): Promise<void> {
    return expectInvariants(this);
  }

  pods(state: 'standby' | 'claimed'): Promise<PodObject[]> {
    const selector = `warmpool.dev/pool=${this.pool},warmpool.dev/state=${state}`;
    return this.kubectl.list<PodObject>(POOL_NAMESPACE, 'pods', `--selector=${selector}`);
  }

  /** `uid`s of the standby pods that `fault` took although no claim ever had them. */
  async lostDuring(fault: () => Promise<void>): Promise<string[]> {
    const before = (await this.standbyPods()).map(({ metadata }) => metadata.uid);
    const taken = new Set<string>();
    const heard = new Set<string>();
    const state = '{.metadata.uid} {.metadata.labels.warmpool\\.dev/state}';
    using _watching = this.kubectl.watch(POOL_NAMESPACE, 'pods', state, (line) => {
      const [uid = '', is] = line.split(' ');
      heard.add(uid);
      if (is !== 'standby') taken.add(uid);
    });
    await until('the watch to begin', LIMIT_MS, async () => before.every((uid) => heard.has(uid)));
    await fault();
    await this.settled();
    const now = new Set((await this.pods('standby')).map(({ metadata }) => metadata.uid));
    return before.filter((uid) => !now.has(uid) && !taken.has(uid));
  }

  /** When the pool is full again, so that each of them has booted. */
  async standbyPods(): Promise<PodObject[]> {
    await untilFull(this.kubectl, this.pool, this.replicas);
    let found: PodObject[] = [];
    await until('the standby pods to run', LIMIT_MS, async () => {
      found = await this.pods('standby');
      const running = found.filter(({ metadata, status }) => !metadata.deletionTimestamp && status.phase === 'Running');
      return found.length === this.replicas && running.length === this.replicas;
    });
    return found;
  }

  /** The fault took its instance: until its claim says so, and says what. */
  async untilLost(claimId: string): Promise<void> {
    await until(`claim ${claimId} to be told lost`, LIMIT_MS, async () => {
      return (await this.claimant.state(claimId)) === 'failed';
    });
    this.claimant.held.delete(claimId);
  }

  /** Claims, calls and releases without a pause, `clients` at a time, for as long as the fault lasts. */
  async claimingDuring(name: string, clients: number, fault: () => Promise<void>): Promise<number> {
    const over = new AbortController();
    let claims = 0;
    const client = async (id: number): Promise<void> => {
      for (let turn = 0; !over.signal.aborted; turn += 1) {
        const claimId = `${name}-${id}-${turn}`;
        const { answer } = await this.claimant.send(this.pool, claimId);
        const { claim } = answer ?? {};
        if (claim === undefined) throw new Error(`claim ${claimId}: ${JSON.stringify(answer)}`);
        const said = await this.claimant.invoke(claim);
        if (said !== claimId) throw new Error(`the instance of ${claimId} is that of ${said}`);
        await this.claimant.release(claimId);
        claims += 1;
      }
    };
    const running = Promise.all(Array.from({ length: clients }, (_, id) => client(id)));
    try {
      await Promise.race([fault(), running]);
    } finally {
      over.abort();
    }
    await running;
    return claims;
  }
}
