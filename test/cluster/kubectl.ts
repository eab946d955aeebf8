import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterAccess } from './global-setup.ts';

// longer than any `--timeout` that a test gives it
const CALL_LIMIT_MS = 200_000;

/** kubectl, as a person would use it. */
export class Kubectl {
  readonly #access: Pick<ClusterAccess, 'kubectl' | 'kubeconfig'>;

  constructor(access: Pick<ClusterAccess, 'kubectl' | 'kubeconfig'>) {
    this.#access = access;
  }

  /** What it prints; what it complains about is the error's message. */
  run(args: string[], input = ''): Promise<string> {
    const { kubectl, kubeconfig } = this.#access;
    return new Promise((resolve, reject) => {
      const options = { timeout: CALL_LIMIT_MS, maxBuffer: 16 * 1024 * 1024 };
      const child = execFile(kubectl, ['--kubeconfig', kubeconfig, ...args], options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || error.message}`));
      });
      // one that refuses its arguments does not read
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(input);
    });
  }

  /** Every state that objects are in from now on until it is disposed of, as lines of `jsonpath`. */
  watch(namespace: string, kind: string, jsonpath: string, onLine: (line: string) => void): Disposable {
    const { kubectl, kubeconfig } = this.#access;
    const args = ['--kubeconfig', kubeconfig, 'get', kind, '--namespace', namespace, '--watch'];
    const child = spawn(kubectl, [...args, `--output=jsonpath=${jsonpath}{"\\n"}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: child.stdout }).on('line', onLine);
    return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
  }

  async apply(...objects: object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.run(['apply', '--filename=-'], JSON.stringify(list));
  }

  async get<T>(namespace: string, kind: string, name: string): Promise<T> {
    return JSON.parse(await this.run(['get', kind, name, '--namespace', namespace, '--output=json'])) as T;
  }

  async list<T>(namespace: string, kind: string, ...more: string[]): Promise<T[]> {
    const text = await this.run(['get', kind, '--namespace', namespace, '--output=json', ...more]);
    return (JSON.parse(text) as { items: T[] }).items;
  }

  /** A namespace whose pods have to be as restricted as standby pods are. */
  async newRestrictedNamespace(): Promise<string> {
    const name = `test-${randomBytes(5).toString('hex')}`;
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    // Pods are refused until a controller has made it.
    await until(`the service account of ${name}`, CALL_LIMIT_MS, async () => {
      await this.run(['get', 'serviceaccount', 'default', '--namespace', name]);
      return true;
    });
    return name;
  }
}

/** Polls; what fails in the meantime is shown only when it never becomes true. */
export async function until(what: string, limitMs: number, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + limitMs;
  let problem: unknown;
  while (Date.now() < deadline) {
    try {
      if (await isTrue()) return;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    await delay(50);
  }
  throw new Error(`waited ${limitMs} ms for ${what}`, { cause: problem });
}
