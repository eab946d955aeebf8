import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import PQueue from 'p-queue';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { ContainerStatus, Pod, PodStatus } from '@warmpool/operator/core/resources.ts';
import { describeError } from '../errors.ts';
import { removeFolder } from '../remove-folder.ts';
import { assertSocketPathFits } from '../run-dir.ts';
import type { BootYield } from './boot-yield.ts';
import { whenFileAppears } from './file-appears.ts';
import { placementEnv } from './launch-plan.ts';
import type { LaunchPlan } from './launch-plan.ts';
import { PodProcess } from './pod-process.ts';
import { exitedStatus, readyStatus, refusedStatus, sidecarExitedStatus, startedStatus } from './pod-status.ts';
import type { ProcessExit, Termination } from './pod-status.ts';
import type { PodWrites } from './pod-writes.ts';
import type { PortAllocator } from './port-allocator.ts';
import { SidecarProcesses } from './sidecar-processes.ts';

const SOCKET_NAME = 'agent.sock';
/** A boot that takes longer than this goes on, but others no longer wait for it. */
const BOOT_SLOT_MS = 10_000;
const terminationSchema = z.object({ reason: z.string().max(128).optional(), message: z.string().optional() });

export interface PodLifeDeps {
  clock: Clock;
  log: Pick<Logger, 'warn' | 'error'>;
  writes: PodWrites;
  ports: PortAllocator;
  boots: BootYield;
  bootQueue: PQueue;
  reaper: { add(groupId: number): void; remove(groupId: number): void };
  /** The kubelet itself stops: what its pods' objects say is left alone. */
  stopped: AbortSignal;
}

/** One pod from its folder to its end: boots its process once, says in its status what happens, and leaves nothing behind. */
export class PodLife {
  readonly #deps: PodLifeDeps;
  readonly #host: string;
  readonly #folder: string;
  #pod: Stored<Pod>;
  #process: PodProcess | undefined;
  /** Settles when what the process ended with is on its way into the status. */
  #exitTold: Promise<void> = Promise.resolve();
  readonly #sidecars: SidecarProcesses;
  readonly #lostSidecars: ContainerStatus[] = [];
  #runtimeStatuses: ContainerStatus[] = [];
  #port: number | undefined;
  #startedAt = '';
  /** Settles when no step of the start is under way any more. */
  #starting: Promise<void> = Promise.resolve();
  /** Status writes of one pod keep their order. */
  #written: Promise<void> = Promise.resolve();
  #stopWaiting: () => void = () => undefined;
  #ended: Promise<void> | undefined;
  #killAtMs = Infinity;
  #cancelKill: () => void = () => undefined;

  constructor(deps: PodLifeDeps, pod: Stored<Pod>, place: { podsDir: string; host: string }) {
    this.#deps = deps;
    this.#pod = pod;
    this.#host = place.host;
    this.#folder = path.join(place.podsDir, pod.metadata.uid);
    this.#sidecars = new SidecarProcesses(deps, (name, exit) => {
      this.#lostSidecars.push(sidecarExitedStatus(name, exit));
      if (this.#ended === undefined) this.#write({ containerStatuses: this.#runtimeStatuses });
    });
  }

  update(pod: Stored<Pod>): void {
    this.#pod = pod;
  }

  refuse(reason: string, message: string): void {
    this.#write(refusedStatus(this.#pod, reason, message));
  }

  /** Waits for its turn, starts the process, and holds the turn until the runtime-agent is there or has failed. */
  async boot(plan: LaunchPlan): Promise<void> {
    await this.#deps.bootQueue.add(async () => {
      const waitedMs = await this.#deps.boots.turn();
      if (this.#ended !== undefined) return;
      this.#starting = this.#start(plan);
      await this.#starting;
      if (this.#process !== undefined) await this.#untilReady(this.#process, waitedMs);
    });
  }

  /** Ends the process within `graceMs` and removes the folder. Called again, it can only shorten the grace. */
  end(graceMs: number): Promise<void> {
    this.#killWithin(graceMs);
    this.#ended ??= this.#end();
    return this.#ended;
  }

  async #start(plan: LaunchPlan): Promise<void> {
    try {
      const socketPath = path.join(this.#folder, SOCKET_NAME);
      assertSocketPathFits(socketPath);
      this.#port = await this.#deps.ports.take();
      await mkdir(this.#folder, { mode: 0o700 });
      await this.#writePodFile(plan, this.#port);
      const env = { ...plan.env, ...placementEnv({ socketPath, host: this.#host, port: this.#port }) };
      if (this.#ended !== undefined) return;
      await this.#sidecars.start(plan.sidecars, path.join(this.#folder, 'sidecars'), {
        WARMPOOL_HOST: this.#host,
        WARMPOOL_PORT: String(this.#port),
      });
      this.#launch(plan.command, env);
    } catch (error) {
      this.#releasePort();
      this.refuse('StartError', `The pod could not be started: ${describeError(error)}`);
    }
  }

  #launch(command: readonly string[], env: Record<string, string>): void {
    const onLogError = (error: unknown): void =>
      this.#deps.log.warn({ err: error, pod: this.#pod.metadata.name }, 'output of a pod is lost');
    const process = new PodProcess({ command, env, folder: this.#folder, onLogError });
    this.#process = process;
    this.#startedAt = this.#timestamp();
    if (process.groupId !== undefined) {
      this.#deps.reaper.add(process.groupId);
      this.#write(startedStatus(this.#pod, this.#host, this.#startedAt));
    }
    this.#exitTold = process.exited
      .then((exit) => this.#onExit(process, exit))
      .catch((error: unknown) => this.#deps.log.error({ err: error }, 'the end of a pod could not be recorded'));
  }

  #untilReady(process: PodProcess, waitedMs: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        cancelLimit();
        this.#deps.boots.remove(process);
        resolve();
      };
      const cancelLimit = this.#deps.clock.after(BOOT_SLOT_MS, finish);
      void process.exited.then(finish);
      this.#deps.boots.add(process, waitedMs);
      this.#stopWaiting = whenFileAppears(this.#folder, SOCKET_NAME, () => {
        this.#write(readyStatus(this.#pod, this.#startedAt));
        finish();
      });
      // it may have ended before anybody could tell us
      if (this.#ended !== undefined) this.#stopWaiting();
    });
  }

  async #onExit(process: PodProcess, exit: ProcessExit): Promise<void> {
    if (process.groupId !== undefined) this.#deps.reaper.remove(process.groupId);
    this.#stopWaiting();
    this.#releasePort();
    this.#sidecars.kill();
    if (this.#deps.stopped.aborted) return;
    // without its socket the host-agent no longer offers the pod to anybody
    await rm(path.join(this.#folder, SOCKET_NAME), { force: true });
    const found = { termination: await this.#readTermination(), ranOutOfHeap: await this.#ranOutOfHeap(exit) };
    const times = { startedAt: this.#startedAt, finishedAt: this.#timestamp() };
    this.#write(exitedStatus(this.#pod, exit, found, times));
  }

  async #end(): Promise<void> {
    await this.#starting;
    this.#stopWaiting();
    if (this.#process !== undefined) {
      this.#deps.boots.remove(this.#process);
      if (this.#killAtMs > this.#deps.clock.monotonic()) this.#process.terminate();
    }
    await this.#exitTold;
    await this.#sidecars.end();
    this.#cancelKill();
    this.#releasePort();
    await this.#written;
    await removeFolder(this.#folder);
  }

  #killWithin(graceMs: number): void {
    const killAtMs = this.#deps.clock.monotonic() + graceMs;
    if (killAtMs >= this.#killAtMs) return;
    this.#killAtMs = killAtMs;
    this.#cancelKill();
    const kill = (): void => void this.#starting.then(() => this.#process?.kill());
    if (graceMs <= 0) kill();
    else this.#cancelKill = this.#deps.clock.after(graceMs, kill);
  }

  /** Host-agents find the pod by this file, so it appears whole. */
  async #writePodFile({ runtime }: LaunchPlan, port: number): Promise<void> {
    const { uid: podUid, namespace = 'default', name } = this.#pod.metadata;
    const file = path.join(this.#folder, 'pod.json');
    await writeFile(`${file}.part`, JSON.stringify({ podUid, namespace, name, runtime, host: this.#host, port }));
    await rename(`${file}.part`, file);
  }

  async #readTermination(): Promise<Termination | undefined> {
    try {
      const text = await readFile(path.join(this.#folder, 'termination.json'), 'utf8');
      return terminationSchema.parse(JSON.parse(text));
    } catch {
      // most ends leave none, and a broken one says nothing
      return undefined;
    }
  }

  /** V8 says so on stderr and aborts. Nothing of the text goes on: it may hold what the function printed. */
  async #ranOutOfHeap(exit: ProcessExit): Promise<boolean> {
    if (exit.signal !== 'SIGABRT' && exit.code !== 134) return false;
    const text = await readFile(path.join(this.#folder, 'stderr.log'), 'utf8').catch(() => '');
    return text.includes('heap out of memory');
  }

  #write(written: PodStatus): void {
    // the list is written as a whole
    this.#runtimeStatuses = written.containerStatuses ?? this.#runtimeStatuses;
    const status = { ...written, containerStatuses: [...this.#runtimeStatuses, ...this.#lostSidecars] };
    this.#written = this.#written
      .then(() => this.#deps.writes.status(this.#pod, status))
      .catch((error: unknown) => {
        this.#deps.log.error({ err: error, pod: this.#pod.metadata.name }, 'the status of a pod could not be written');
      });
  }

  #releasePort(): void {
    if (this.#port !== undefined) this.#deps.ports.release(this.#port);
    this.#port = undefined;
  }

  #timestamp(): string {
    return new Date(this.#deps.clock.now()).toISOString();
  }
}
