import { ModelRuntime } from './model-runtime.ts';

/** The model as a process of its own: `node main.ts [--fault RULE]`, with the settings of the contract in its environment. */

const [option, fault] = process.argv.slice(2);
if (option !== undefined && option !== '--fault') throw new Error(`${option} is not an option; there is: --fault RULE`);

const runtime = new ModelRuntime({
  env: Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  ),
  output: (stream, bytes) => void process[stream].write(bytes),
  exit: (exitCode, signal) => (signal === null ? process.exit(exitCode ?? 0) : process.kill(process.pid, signal)),
  breaks: (rule) => rule === fault,
});
process.on('SIGTERM', () => runtime.signal());
process.stdin.on('end', () => runtime.endLifeline()).resume();
await runtime.boot();
