import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FakeAgent } from '@warmpool/host-agent/testing/fake-agent.ts';
import { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import type { Format } from './artefacts.ts';

interface Timings {
  fetchMs: number;
  unpackMs: number;
  mountMs: number;
}

/** The real host-agent with pods that run no code: what is measured is a claim's load, from its request to its answer. */
export class OurNode {
  readonly #host: HostAgentProcess;
  readonly #folder: string;
  #pods = 0;

  private constructor(host: HostAgentProcess, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  static async start(folder: string): Promise<OurNode> {
    const big = String(4 * 1024 ** 3);
    const limits = ['--cache-bytes', big, '--max-archive-bytes', big, '--max-unpacked-bytes', big];
    return new OurNode(await HostAgentProcess.start(folder, ['--allow-loopback-sources', ...limits]), folder);
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
    const pod = await FakeAgent.start({ podsDir: join(this.#folder, 'pods'), podUid: `pod-${this.#pods++}` });
    const events = await this.#host.events();
    await events.podState(pod.podUid, 'standby');
    await events.close();
    const startedMs = performance.now();
    let firstFileMs = Number.NaN;
    const watch = setInterval(() => {
      if (Number.isNaN(firstFileMs) && this.#hasFile()) firstFileMs = performance.now() - startedMs;
    }, 2);
    try {
      const answer = await this.#host.load<{ message?: string; timings: Timings }>(
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
        tree: pod.loads[0]?.code.path ?? '',
      };
    } finally {
      clearInterval(watch);
      await pod.stop();
    }
  }

  peakRssMiB(): number {
    const status = readFileSync(`/proc/${this.#host.child.pid}/status`, 'utf8');
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
  }

  async end(): Promise<void> {
    await this.#host.end('SIGKILL');
  }

  #hasFile(): boolean {
    const jobs = join(this.#folder, 'cache', 'tmp');
    return readdirSync(jobs).some((job) => {
      const tree = join(jobs, job, 'tree');
      return existsSync(tree) && readdirSync(tree).length > 0;
    });
  }
}
