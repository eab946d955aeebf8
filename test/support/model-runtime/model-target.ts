import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readFunctionSet } from '../../../conformance/functions.ts';
import { Instance } from '../../../conformance/instance.ts';
import type { ExitStatus, StartSettings } from '../../../conformance/instance.ts';
import type { Target } from '../../../conformance/lane.ts';
import { ModelRuntime } from './model-runtime.ts';
import { FreePorts } from '../../../conformance/targets/free-ports.ts';

export const MODEL_FUNCTIONS = path.join(import.meta.dirname, 'functions');
/** Of all targets in this process, which run side by side. */
const PORTS = new FreePorts();
const FUNCTIONS = readFunctionSet(MODEL_FUNCTIONS);

/** Model runtimes in this process: hundreds of them cost what a few real ones do. */
export class ModelTarget implements Target {
  readonly ownsProcesses = true;
  readonly offers = new Set(['streaming', 'concurrency']);
  readonly #fault: string | undefined;

  constructor(fault?: string) {
    this.#fault = fault;
  }

  async start({ env = {}, returnsEarly = false }: StartSettings = {}): Promise<Instance> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'wp-model-'));
    const socketPath = path.join(folder, 'agent.sock');
    const port = await PORTS.take();
    let output = '';
    const { promise: exited, resolve: exit } = Promise.withResolvers<ExitStatus>();
    const runtime = new ModelRuntime({
      env: {
        PATH: '/usr/bin',
        HOME: folder,
        WARMPOOL_SOCKET: socketPath,
        WARMPOOL_PORT: String(port),
        WARMPOOL_RUNTIME_NAME: 'model',
        WARMPOOL_RUNTIME_VERSION: '1',
        ...env,
      },
      output: (_, bytes) => (output += bytes.toString()),
      exit: (exitCode, signal) => exit({ exitCode, signal }),
      breaks: (rule) => rule === this.#fault,
    });
    const booted = runtime.boot();
    booted.catch(() => {});
    if (!returnsEarly) await booted;
    return new Instance({
      control: { socketPath },
      servedHost: '127.0.0.1',
      port,
      runtime: { name: 'model', version: '1' },
      functions: FUNCTIONS,
      codePath: MODEL_FUNCTIONS,
      process: {
        exited,
        signal: () => runtime.signal(),
        endLifeline: () => runtime.endLifeline(),
        output: () => output,
      },
      dispose: async () => {
        await booted.catch(() => {});
        runtime.kill();
        rmSync(folder, { recursive: true, force: true });
      },
    });
  }
}
