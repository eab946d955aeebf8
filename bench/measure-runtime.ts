import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findRuntimes, type PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';

/**
 * `node bench/measure-runtime.ts [runtime[,runtime]] [processes]`: what one standby process costs and how fast it loads, by fresh
 * processes one after the other, the functions taking turns, as a table each. Every load goes over a connection that was opened before.
 */

const BOOT_TIMEOUT_MS = 20_000;
const FUNCTIONS: Record<string, Record<string, string>> = {
  nodejs: {
    'index.js': 'exports.handler = async (event) => ({ got: event });\n',
    'esm.mjs': 'export const handler = async (event) => ({ got: event });\n',
  },
  python: { 'index.py': 'def handler(event, context):\n    return {"got": event}\n' },
  java: {
    'index.java':
      'public class index {\n  public static Object handler(java.util.Map<String, Object> event) {\n    return java.util.Map.of("got", event);\n  }\n}\n',
  },
};

type Sample = Record<string, number>;

interface Subject {
  runtime: PresentRuntime;
  fileName: string;
  /** The code folder: file name to content. */
  files: Record<string, string | Buffer>;
  samples: Sample[];
}

const [wanted = 'nodejs', count = '30'] = process.argv.slice(2);
const found = await findRuntimes();
const subjects = wanted.split(',').flatMap((name) => subjectsOf(name));
for (let index = 0; index < Number(count); index++) {
  for (const subject of subjects) subject.samples.push(await measureOne(subject));
}
for (const { runtime, fileName, samples } of subjects) {
  console.log(`\n${runtime.name} ${runtime.version}, ${fileName}, ${samples.length} processes`);
  console.table(Object.fromEntries(Object.keys(samples[0] ?? {}).map((name) => [name, summary(samples, name)])));
}

function subjectsOf(name: string): Subject[] {
  const runtime = found.find((each) => each.name === name);
  if (runtime === undefined || 'missing' in runtime) {
    throw new Error(runtime === undefined ? `there is no runtime ${name}` : runtime.missing);
  }
  return Object.entries(FUNCTIONS[name] ?? {}).flatMap(([fileName, source]) =>
    fileName.endsWith('.java')
      ? compiled(fileName, source).map((each) => ({ runtime, samples: [], ...each }))
      : [{ runtime, fileName, files: { [fileName]: source }, samples: [] }],
  );
}

/** A Java function as a class file and as a jar. */
function compiled(fileName: string, source: string): Pick<Subject, 'fileName' | 'files'>[] {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-compile-'));
  const [className, jarName] = ['.class', '.jar'].map((ending) => path.parse(fileName).name + ending);
  try {
    if (className === undefined || jarName === undefined) return [];
    writeFileSync(path.join(folder, fileName), source);
    execFileSync('javac', [fileName], { cwd: folder });
    execFileSync('jar', ['--create', '--file', jarName, className], { cwd: folder });
    return [className, jarName].map((name) => ({
      fileName: name,
      files: { [name]: readFileSync(path.join(folder, name)) },
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureOne({ runtime, fileName, files }: Subject): Promise<Sample> {
  const { name, version, command } = runtime;
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-measure-'));
  const socketPath = path.join(folder, 'agent.sock');
  const codePath = path.join(folder, 'code');
  mkdirSync(codePath);
  for (const [file, content] of Object.entries(files)) writeFileSync(path.join(codePath, file), content);
  const [program = '', ...args] = command;
  const startedAt = performance.now();
  const child = spawn(program, args, {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      WARMPOOL_SOCKET: socketPath,
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: '18200',
      WARMPOOL_RUNTIME_NAME: name,
      WARMPOOL_RUNTIME_VERSION: version,
      WARMPOOL_REHEARSE: process.env['WARMPOOL_REHEARSE'] ?? '1',
      WARMPOOL_LIFELINE: '1',
    },
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    while (!existsSync(socketPath)) {
      if (performance.now() - startedAt > BOOT_TIMEOUT_MS || child.exitCode !== null) throw new Error('no standby');
      await sleep(1);
    }
    const bootMs = performance.now() - startedAt;
    const bootCpuMs = cpuMs(child);
    const post = (route: string, body?: unknown) => send(agent, socketPath, route, body);
    await post('/v1/health');
    await sleep(100);
    const memory = memoryOf(child);
    const loadMs = await post('/v1/load', {
      claimId: 'measured',
      fence: 1,
      function: { name: 'measured', version: '1', tenant: 'measured' },
      runtime: { name, version },
      kind: 'handler',
      handler: `${path.parse(fileName).name}.handler`,
      code: { path: codePath, digest: `sha256:${'0'.repeat(64)}` },
      env: { GREETING: 'hello', TZ: 'UTC' },
      service: {},
      limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000 },
    });
    const firstInvokeMs = await post('/v1/invoke', { name: 'world' });
    const secondInvokeMs = await post('/v1/invoke', { name: 'world' });
    return { bootMs, bootCpuMs, loadMs, firstInvokeMs, secondInvokeMs, ...memory };
  } finally {
    agent.destroy();
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  }
}

function send(agent: Agent, socketPath: string, route: string, body?: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const headers = { 'content-type': 'application/json' };
    const options = { agent, socketPath, path: route, method: body === undefined ? 'GET' : 'POST', headers };
    const sent = request(options, (response) => {
      response.resume().once('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt);
        else reject(new Error(`${route} was answered with ${response.statusCode}`));
      });
    });
    sent.once('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function memoryOf(child: ChildProcess): Sample {
  const rollup = readFileSync(`/proc/${child.pid}/smaps_rollup`, 'utf8');
  const mb = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0) / 1024;
  return { rssMiB: mb('Rss'), pssMiB: mb('Pss'), privateMiB: mb('Private_Dirty') + mb('Private_Clean') };
}

/** User and system time of the process so far; Linux counts it in 10 ms. */
function cpuMs(child: ChildProcess): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function summary(samples: Sample[], name: string): Sample {
  const values = samples.map((sample) => sample[name] ?? 0).sort((a, b) => a - b);
  const at = (share: number) =>
    Number(values[Math.min(values.length - 1, Math.floor(values.length * share))]?.toFixed(2));
  return { min: at(0), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
