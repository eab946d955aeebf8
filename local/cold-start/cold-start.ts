import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PackedFunction } from '../pack-functions.ts';
import { invokeOnce, type Answer } from '../invoke.ts';
import { javaCommand } from './java-command.ts';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const LIMIT_MS = 120_000;

export interface ColdStart {
  /** From starting the process to the end of its first answer. */
  firstResponseMs: number;
  /** The user's own import, part of the above. */
  importMs: number;
  answer: Answer;
}

/** What starts one function from nothing, as often as wanted. */
export interface ColdStarter {
  /** `entrance` is put before the command: what puts the process into a control group, for example. */
  start(entrance?: readonly string[]): Promise<ColdStart>;
  dispose(): Promise<void>;
}

/**
 * The same function on the same machine from nothing: a plain process without any agent that imports the code, which lies unpacked
 * on disk, and serves it. It leaves out what a cluster would add (scheduling, sandbox, image, probes) and the delivery of the code, so
 * it flatters the cold start.
 */
export async function coldStarter(
  fn: PackedFunction,
  runtime: PresentRuntime,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ColdStarter> {
  const { command: words, dispose } = await command(fn, runtime, env);
  return { start: (entrance = []) => start(fn, [...entrance, ...words], env), dispose };
}

export async function coldStart(
  fn: PackedFunction,
  runtime: PresentRuntime,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ColdStart> {
  const starter = await coldStarter(fn, runtime, env);
  try {
    return await starter.start();
  } finally {
    await starter.dispose();
  }
}

async function start(
  fn: PackedFunction,
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ColdStart> {
  const port = await freePort();
  const [program = '', ...args] = words;
  const startedMs = performance.now();
  const child = spawn(program, args, {
    cwd: fn.treeDir,
    env: {
      PATH: env['PATH'] ?? '',
      HOME: env['HOME'] ?? '',
      PYTHONDONTWRITEBYTECODE: '1',
      ...fn.function.env,
      PORT: String(port),
    },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const exited = once(child, 'exit');
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  try {
    const answer = await firstAnswer(fn, port, startedMs + LIMIT_MS, () => child.exitCode !== null);
    const firstResponseMs = performance.now() - startedMs;
    return { firstResponseMs, importMs: Number(/^import ([\d.]+)/m.exec(output)?.[1] ?? 'NaN'), answer };
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
}

interface ColdCommand {
  command: string[];
  dispose: () => Promise<void>;
}

function command(
  fn: PackedFunction,
  runtime: PresentRuntime,
  env: Readonly<Record<string, string | undefined>>,
): ColdCommand | Promise<ColdCommand> {
  if (runtime.name === 'java') return javaCommand(fn.treeDir, fn.function.handler, env);
  return { command: interpreted(fn, runtime), dispose: () => Promise.resolve() };
}

function interpreted(fn: PackedFunction, runtime: PresentRuntime): string[] {
  const { kind, handler } = fn.function;
  const isAppObject = kind === 'http' && handler.includes(':');
  const end = handler.lastIndexOf(isAppObject ? ':' : '.');
  const [module, exported] = [handler.slice(0, end), handler.slice(end + 1)];
  if (runtime.name === 'python')
    return [
      runtime.command[0] ?? 'python3',
      path.join(HERE, isAppObject ? 'python_app.py' : 'python_handler.py'),
      fn.treeDir,
      module.replaceAll('/', '.'),
      exported,
    ];
  if (kind === 'http') return [process.execPath, path.join(HERE, 'node-http.mjs'), path.join(fn.treeDir, handler)];
  return [process.execPath, path.join(HERE, 'node-handler.mjs'), path.join(fn.treeDir, `${module}.js`), exported];
}

async function firstAnswer(
  fn: PackedFunction,
  port: number,
  untilMs: number,
  hasEnded: () => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await invokeOnce(`http://127.0.0.1:${port}`, fn.function.invoke).catch(() => undefined);
    if (answer !== undefined) return answer;
    if (hasEnded()) throw new Error(`the cold process of ${fn.function.name} ended before it answered`);
    if (performance.now() > untilMs)
      throw new Error(`the cold process of ${fn.function.name} did not answer within ${LIMIT_MS} ms`);
    await new Promise((resolve) => void setTimeout(resolve, 1));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('the system gave no port');
  return address.port;
}
