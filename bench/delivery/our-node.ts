import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { FakeAgent } from '@warmpool/host-agent/testing/fake-agent.ts';
import { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import type { Format } from './artefacts.ts';

interface Timings {
  fetchMs: number;
  unpackMs: number;
  mountMs: number;
}

/** Pods that run no code, as they are on a cluster's node or on a machine that cannot be one. */
interface Pods {
  host: HostAgentProcess;
  start(podUid: string): Promise<FakeAgent>;
  end(pod: FakeAgent): Promise<void>;
  close(): Promise<void>;
}

/** The real host-agent: what is measured is a claim's load, from its request to its answer. */
export class OurNode {
  readonly #pods: Pods;
  readonly #cacheDir: string;
  #nextPod = 0;

  private constructor(pods: Pods, cacheDir: string) {
    this.#pods = pods;
    this.#cacheDir = cacheDir;
  }

  static async start(folder: string): Promise<OurNode> {
    const big = String(4 * 1024 ** 3);
    const limits = ['--cache-bytes', big, '--max-archive-bytes', big, '--max-unpacked-bytes', big];
    const cacheDir = join(folder, 'cache');
    const flags = ['--allow-loopback-sources', ...limits, '--cache-dir', cacheDir];
    return new OurNode(await (missingForMounts() === undefined ? csiPods(flags) : localPods(folder, flags)), cacheDir);
  }

  /** What a tree of many files is on this node. */
  get treeForm(): 'erofs image' | 'folder' {
    return this.#pods.host.output.includes('kept as erofs images') ? 'erofs image' : 'folder';
  }

  /**
   * `visibleMs` is what the host-agent itself took from asking the store to the tree in the pod's folder: the load of the code into the
   * pod, which follows, is no part of delivery. `firstFileMs`, from the request on: something of the archive is on disk.
   */
  async load(
    url: string,
    digest: string,
    format: Format,
  ): Promise<{ visibleMs: number; firstFileMs: number; tree: string }> {
    const { host } = this.#pods;
    const pod = await this.#pods.start(`pod-${this.#nextPod++}`);
    const events = await host.events();
    await events.podState(pod.podUid, 'standby');
    await events.close();
    const startedMs = performance.now();
    let firstFileMs = Number.NaN;
    const watch = setInterval(() => {
      if (Number.isNaN(firstFileMs) && this.#hasFile()) firstFileMs = performance.now() - startedMs;
    }, 2);
    try {
      const answer = await host.load<{ message?: string; timings: Timings }>(
        pod,
        { url, digest, format },
        { deadlineUnixMs: Date.now() + 120_000 },
      );
      if (answer.statusCode !== 200) throw new Error(`the load failed: ${answer.body.message}`);
      const { fetchMs, unpackMs, mountMs } = answer.body.timings;
      const visibleMs = fetchMs + unpackMs + mountMs;
      return {
        visibleMs,
        firstFileMs: Number.isNaN(firstFileMs) ? visibleMs : firstFileMs,
        tree: join(pod.folder, 'code'),
      };
    } finally {
      clearInterval(watch);
      await this.#pods.end(pod);
    }
  }

  peakRssMiB(): number {
    const status = readFileSync(`/proc/${this.#pods.host.child.pid}/status`, 'utf8');
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
  }

  async end(): Promise<void> {
    await this.#pods.host.end('SIGKILL');
    await this.#pods.close();
  }

  #hasFile(): boolean {
    const jobs = join(this.#cacheDir, 'tmp');
    return readdirSync(jobs).some((job) =>
      existsSync(join(jobs, job))
        ? readdirSync(join(jobs, job)).some((name) => {
            const path = join(jobs, job, name);
            return name === 'tree' ? readdirSync(path).length > 0 : statSync(path).size > 0;
          })
        : false,
    );
  }
}

async function csiPods(flags: string[]): Promise<Pods> {
  const node = await CsiNode.start();
  return {
    host: await node.host(flags),
    start: (podUid) => node.publishedPod(podUid),
    // its volume stays, to be looked at
    end: ({ podUid }) => node.endAgent(podUid),
    close: () => node.close(),
  };
}

async function localPods(folder: string, flags: string[]): Promise<Pods> {
  return {
    host: await HostAgentProcess.start(folder, flags),
    start: (podUid) => FakeAgent.start({ podsDir: join(folder, 'pods'), podUid }),
    end: (pod) => pod.stop(),
    close: () => Promise.resolve(),
  };
}
