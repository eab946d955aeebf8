import type { FSWatcher } from 'node:fs';
import { existsSync, watch } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import PQueue from 'p-queue';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { PodReport } from '@warmpool/protocol/host-agent-api.ts';
import type { Clock } from '../clock.ts';
import { hostError } from '../errors.ts';
import { PodFolder } from './pod-folder.ts';
import { TrackedPod } from './tracked-pod.ts';

const RESCAN_MS = 1_000;
const STATUS_CONCURRENCY = 16;

export interface PodRegistryDeps {
  clock: Clock;
  onReport: (report: PodReport) => void;
  onGone: (podUid: PodUid) => void;
  /** A pod that already has code was found: after a restart of this program. */
  onDelivered: (podUid: PodUid, treePath: string) => void;
  onProblem: (error: unknown) => void;
}

/**
 * The pods of this node, found by their folders. A file watch tells at once, a rescan each second makes up for events that the
 * kernel dropped; both end in the same `#inspect`, which may run any number of times.
 */
export class PodRegistry {
  readonly #deps: PodRegistryDeps;
  readonly #root: string;
  readonly #pods = new Map<string, TrackedPod>();
  /** By folder name: watched until the agent's socket is there. */
  readonly #watchers = new Map<string, { path: string; watcher: FSWatcher }>();
  readonly #statusQueue = new PQueue({ concurrency: STATUS_CONCURRENCY });
  #rootWatcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isScanning = false;
  #isClosed = false;

  constructor(deps: PodRegistryDeps, podsDir: string) {
    this.#deps = deps;
    this.#root = podsDir;
  }

  /** Returns when every pod that is already there has been met or has not answered. */
  async start(): Promise<void> {
    this.#rootWatcher = this.#watch(this.#root, (name) => this.#inspectSoon(name));
    await this.#scan();
    this.#timer = setInterval(() => void this.#tick(), RESCAN_MS);
  }

  get(podUid: PodUid): TrackedPod {
    const pod = this.#pods.get(podUid);
    if (pod === undefined) throw hostError.podUnknown(podUid);
    return pod;
  }

  find(podUid: PodUid): TrackedPod | undefined {
    return this.#pods.get(podUid);
  }

  reports(): PodReport[] {
    return [...this.#pods.values()].flatMap((pod) => (pod.report === undefined ? [] : [pod.report]));
  }

  /** Its folder was made, changed or removed just now. */
  recheck(podUid: PodUid): void {
    this.#inspectSoon(podUid);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#rootWatcher?.close();
    for (const { watcher } of this.#watchers.values()) watcher.close();
    await Promise.all([...this.#pods.values()].map((pod) => pod.close()));
  }

  async #tick(): Promise<void> {
    if (this.#isScanning) return;
    this.#isScanning = true;
    try {
      await this.#scan();
      const asked = [...this.#pods.values()].filter((pod) => pod.needsRefresh);
      await this.#statusQueue.addAll(asked.map((pod) => () => pod.refresh()));
    } catch (error) {
      this.#deps.onProblem(error);
    } finally {
      this.#isScanning = false;
    }
  }

  async #scan(): Promise<void> {
    const names = new Set((await readdir(this.#root)).filter((name) => !name.startsWith('.')));
    for (const name of [...this.#pods.keys(), ...this.#watchers.keys()]) if (!names.has(name)) this.#forget(name);
    await Promise.all([...names].map((name) => this.#inspect(name)));
  }

  #inspectSoon(name: string): void {
    this.#inspect(name).catch(this.#deps.onProblem);
  }

  async #inspect(name: string): Promise<void> {
    const known = this.#pods.get(name);
    const path = join(this.#root, name);
    if (!existsSync(path)) return this.#forget(name);
    if (known?.report !== undefined || this.#isClosed || name.startsWith('.')) return;
    const folder = known?.folder ?? PodFolder.at(path);
    // before looking for the socket: one that appears in between is then seen by the watch
    this.#watchUntilReady(name, folder.volumePath);
    if (!existsSync(folder.agentSocket)) return;
    const file = known?.file ?? (await folder.readPodFile());
    if (file === undefined || file.podUid !== name || this.#isClosed) return;
    const pod = this.#pods.get(name) ?? (await this.#adopt(name, folder, file));
    this.#unwatch(name);
    await pod.meet();
  }

  async #adopt(name: string, folder: PodFolder, file: TrackedPod['file']): Promise<TrackedPod> {
    const treePath = await folder.readDeliveredTree();
    const known = this.#pods.get(name);
    if (known !== undefined) return known;
    if (treePath !== undefined) this.#deps.onDelivered(file.podUid, treePath);
    const { clock, onReport } = this.#deps;
    const pod = new TrackedPod({ clock, onReport }, folder, file);
    this.#pods.set(name, pod);
    return pod;
  }

  #watchUntilReady(name: string, path: string): void {
    if (this.#watchers.get(name)?.path === path) return;
    const watcher = this.#watch(path, () => this.#inspectSoon(name));
    if (watcher === undefined) return;
    this.#unwatch(name);
    this.#watchers.set(name, { path, watcher });
  }

  #unwatch(name: string): void {
    this.#watchers.get(name)?.watcher.close();
    this.#watchers.delete(name);
  }

  #forget(name: string): void {
    this.#unwatch(name);
    const pod = this.#pods.get(name);
    if (pod === undefined) return;
    this.#pods.delete(name);
    pod.close().catch(this.#deps.onProblem);
    this.#deps.onGone(pod.podUid);
  }

  /** Without a watch (a limit of the kernel, a folder that went away) the rescan still finds everything. */
  #watch(path: string, onChange: (name: string) => void): FSWatcher | undefined {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (name !== null) onChange(name);
      });
      watcher.on('error', () => watcher.close());
      return watcher;
    } catch {
      return undefined;
    }
  }
}
