import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import type { SidecarPlan } from './launch-plan.ts';
import { PodProcess } from './pod-process.ts';
import type { ProcessExit } from './pod-status.ts';

interface SidecarProcessesDeps {
  log: Pick<Logger, 'warn'>;
  reaper: { add(groupId: number): void; remove(groupId: number): void };
}

/** The processes beside the runtime of one pod. They live as long as it does; one that ends earlier is told of. */
export class SidecarProcesses {
  readonly #deps: SidecarProcessesDeps;
  readonly #onExit: (name: string, exit: ProcessExit) => void;
  readonly #processes: PodProcess[] = [];
  #isEnding = false;

  constructor(deps: SidecarProcessesDeps, onExit: (name: string, exit: ProcessExit) => void) {
    this.#deps = deps;
    this.#onExit = onExit;
  }

  /** Each in a folder of its own below `root`, which is the one that it shares with the host-agent. */
  async start(plans: readonly SidecarPlan[], root: string, placement: Record<string, string>): Promise<void> {
    for (const { name, command, env } of plans) {
      const folder = path.join(root, name);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const placed = { ...env, ...placement, WARMPOOL_SIDECAR_DIR: folder };
      const onLogError = (error: unknown): void =>
        this.#deps.log.warn({ err: error, sidecar: name }, 'output of a sidecar is lost');
      const process = new PodProcess({ command, env: placed, folder, onLogError });
      this.#processes.push(process);
      if (process.groupId !== undefined) this.#deps.reaper.add(process.groupId);
      void process.exited.then((exit) => {
        if (process.groupId !== undefined) this.#deps.reaper.remove(process.groupId);
        if (!this.#isEnding) this.#onExit(name, exit);
      });
    }
  }

  kill(): void {
    this.#isEnding = true;
    for (const process of this.#processes) process.kill();
  }

  /** They have nothing to finish once the runtime is gone. */
  async end(): Promise<void> {
    this.kill();
    await Promise.all(this.#processes.map(({ exited }) => exited));
  }
}
