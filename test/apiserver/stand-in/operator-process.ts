import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { freePort } from '../../support/free-port.ts';
import type { ControlPlaneAccess } from '../control-plane.ts';

export interface OperatorProcessOptions {
  access: Omit<ControlPlaneAccess, 'caPem'> & { caPem?: string };
  /** Config, key and log go there. */
  folder: string;
  name: string;
  /** Named ones; without them, what `args` say. */
  named?: { hostAgents: { node: string; socketPath: string }[]; grantKey: Buffer };
  /** Whoever claims needs a token with the right. */
  isProtected?: boolean;
  args?: string[];
  /** Where the Lease is, for one of several replicas. */
  leaseNamespace?: string;
  drainSeconds?: number;
}

const MAIN = join(import.meta.dirname, '../../../operator/main.ts');
const START_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 20_000;

/** The operator as users run it: its own process, its own ports, a kubeconfig file. */
export class OperatorProcess {
  readonly url: string;
  readonly opsUrl: string;
  readonly #process: ChildProcess;
  readonly #logPath: string;
  readonly #exited: Promise<void>;

  private constructor(process: ChildProcess, ports: { claims: number; ops: number }, logPath: string) {
    this.#process = process;
    this.#logPath = logPath;
    this.url = `http://127.0.0.1:${ports.claims}`;
    this.opsUrl = `http://127.0.0.1:${ports.ops}`;
    this.#exited = new Promise((resolve) => process.once('close', () => resolve()));
  }

  /** Resolves when its claim API listens; whether it serves is another question. */
  static async start(options: OperatorProcessOptions): Promise<OperatorProcess> {
    const { folder, name } = options;
    const [kubeconfigPath, keyPath, logPath] = ['kubeconfig', 'grant-key', 'log'].map((kind) =>
      join(folder, `${name}.${kind}`),
    ) as [string, string, string];
    await writeFile(kubeconfigPath, kubeconfig(options.access), { mode: 0o600 });
    if (options.named !== undefined) await writeFile(keyPath, options.named.grantKey, { mode: 0o600 });
    const ports = { claims: await freePort(), ops: await freePort() };
    const args = [
      MAIN,
      ...['--kubeconfig', kubeconfigPath],
      ...['--listen', `127.0.0.1:${ports.claims}`, '--metrics-bind-address', `127.0.0.1:${ports.ops}`],
      ...(options.named === undefined ? [] : ['--grant-key-file', keyPath]),
      ...(options.named?.hostAgents ?? []).flatMap(({ node, socketPath }) => [
        '--host-agent',
        `${node}=unix:${socketPath}`,
      ]),
      ...(options.leaseNamespace === undefined
        ? []
        : ['--leader-elect', '--leader-election-namespace', options.leaseNamespace]),
      ...(options.isProtected === true ? [] : ['--auth', 'none']),
      ...['--drain-seconds', String(options.drainSeconds ?? 5)],
      ...(options.args ?? []),
    ];
    const log = await open(logPath, 'a');
    try {
      const child = spawn(process.execPath, args, { stdio: ['ignore', log.fd, log.fd] });
      const operator = new OperatorProcess(child, ports, logPath);
      await operator.#until('to listen', async () => (await operator.ops('/healthz')) === 200);
      return operator;
    } finally {
      await log.close();
    }
  }

  async untilServing(): Promise<void> {
    await this.#until('to serve claims', async () => (await this.ops('/readyz')) === 200);
  }

  /** The status of an answer of the ops port; 0 when there is none. */
  async ops(path: string): Promise<number> {
    try {
      const { statusCode, body } = await request(`${this.opsUrl}${path}`);
      await body.dump();
      return statusCode;
    } catch {
      return 0;
    }
  }

  log(): Promise<string> {
    return readFile(this.#logPath, 'utf8');
  }

  get hasExited(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async kill9(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  /** Asks it to stop and gives its exit code; a process that does not stop in time is an error. */
  async terminate(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    const isGone = await Promise.race([this.#exited.then(() => true), delay(EXIT_LIMIT_MS, false, { ref: false })]);
    if (isGone) return this.#process.exitCode;
    await this.kill9();
    throw new Error(`the operator did not stop within ${EXIT_LIMIT_MS} ms of SIGTERM:\n${await this.#lastWords()}`);
  }

  async #until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + START_LIMIT_MS;
    while (!(await isTrue())) {
      if (this.hasExited || Date.now() > deadline)
        throw new Error(`waited in vain for the operator ${what}:\n${await this.#lastWords()}`);
      await delay(20);
    }
  }

  async #lastWords(): Promise<string> {
    return (await this.log()).slice(-4_000);
  }
}

export function kubeconfig(access: OperatorProcessOptions['access']): string {
  const { caPem } = access;
  // without a CA: the fault proxy, which has no TLS
  const trust: object =
    caPem === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(caPem).toString('base64') };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: access.url, ...trust } }],
    users: [{ name: 'operator', user: { token: access.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'operator' } }],
    'current-context': 'test',
  });
}
