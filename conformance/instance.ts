import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exchange, rawExchange, Trail } from './exchange.ts';
import type { Address, Answer, Outgoing } from './exchange.ts';
import { BrokenRule, expectLike } from './expectation.ts';
import type { FunctionName, FunctionSet } from './functions.ts';

export interface StartSettings {
  /** More environment for the container, besides the settings of the contract. */
  env?: Record<string, string>;
  /** Return at once instead of waiting for the socket. */
  returnsEarly?: boolean;
}

/** The process behind an instance, where the kit has started it. */
export interface ProcessHandle {
  /** Of the process as the kit sees it; undefined where a container hides it. */
  pid?: number;
  exited: Promise<ExitStatus>;
  signal(name: 'SIGTERM'): void;
  endLifeline(): void;
  /** Everything written to stdout and stderr. */
  output(): string;
}

export interface ExitStatus {
  exitCode: number | null;
  signal: string | null;
}

export interface InstanceFacts {
  control: Address;
  /** Where the function is served, apart from the port, which the load tells. */
  servedHost: string;
  /** The port that the process was started with, where the kit has started it. */
  port?: number;
  runtime: { name: string; version: string };
  functions: FunctionSet;
  /** The folder of the test functions as the runtime sees it. */
  codePath: string;
  process?: ProcessHandle;
  dispose: () => Promise<void>;
}

const FIRST_POLL_MS = 2;
const LONGEST_POLL_MS = 25;
const END_TIMEOUT_MS = 15_000;

/** One runtime under test, spoken to from outside. */
export class Instance {
  readonly facts: InstanceFacts;
  /** Of the case that uses it now. */
  trail = new Trail();
  #servedPort: number | undefined;

  constructor(facts: InstanceFacts) {
    this.facts = facts;
    this.#servedPort = facts.port;
  }

  /** On the control socket. */
  send(outgoing: Outgoing): Promise<Answer> {
    return this.#exchange(this.facts.control, outgoing);
  }

  get(route: string): Promise<Answer> {
    return this.send({ method: 'GET', path: route });
  }

  /** To the port that the function is served on. */
  serve(outgoing: Outgoing): Promise<Answer> {
    return this.#exchange({ host: this.facts.servedHost, port: this.port }, outgoing);
  }

  raw(...pieces: string[]): Promise<string> {
    return rawExchange(this.facts.control, pieces, this.trail);
  }

  get port(): number {
    if (this.#servedPort === undefined) throw new Error('the served port is known only after a load');
    return this.#servedPort;
  }

  get watchdogPath(): string | undefined {
    const { control } = this.facts;
    return 'socketPath' in control ? path.join(path.dirname(control.socketPath), 'watchdog.sock') : undefined;
  }

  /** To whichever socket answers while user code blocks. */
  sendToWatchdog(outgoing: Outgoing): Promise<Answer> {
    const socketPath = this.watchdogPath;
    const hasOwn = socketPath !== undefined && existsSync(socketPath);
    return this.#exchange(hasOwn ? { socketPath } : this.facts.control, outgoing);
  }

  loadRequest(name: FunctionName, changes: Record<string, unknown> = {}): Record<string, unknown> {
    const { functions, codePath, runtime } = this.facts;
    const { handler, folder } = functions.functions[name];
    return {
      claimId: 'claim-1',
      fence: 5,
      function: { name: 'orders/checkout', version: '1.2.3', tenant: 'acme' },
      runtime,
      kind: name.startsWith('http') ? 'http' : 'handler',
      handler,
      code: { path: path.join(codePath, folder), digest: `sha256:${'a'.repeat(64)}` },
      env: { GREETING: 'hello' },
      service: { region: 'north' },
      limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000 },
      ...changes,
    };
  }

  load(name: FunctionName, changes: Record<string, unknown> = {}): Promise<Answer> {
    const learnPort = ({ status, body }: Answer): void => {
      const { port } = (body ?? {}) as { port?: unknown };
      if (status === 200 && typeof port === 'number') this.#servedPort ??= port;
    };
    return this.#exchange(this.facts.control, { path: '/v1/load', body: this.loadRequest(name, changes) }, learnPort);
  }

  invoke(event: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send({ path: '/v1/invoke', body: event, headers });
  }

  /** Ends a request of the act `wait` that was to run as long as the case needs it. */
  async release(requestId: string): Promise<void> {
    await this.send({ path: '/v1/kill', body: { requestId, graceMs: 60_000, reason: 'released by the kit' } });
  }

  /** What `/v1/status` says, unchecked: the schema is a rule of its own. */
  async status(): Promise<Record<string, unknown>> {
    return ((await this.get('/v1/status')).body ?? {}) as Record<string, unknown>;
  }

  /** Polls, and fails with what was waited for. */
  async until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (let pollMs = FIRST_POLL_MS; !(await holds()); pollMs = Math.min(pollMs * 2, LONGEST_POLL_MS)) {
      if (performance.now() > deadline) throw new BrokenRule(what, `within ${timeoutMs} ms`, 'not so');
      await sleep(pollMs);
    }
  }

  untilState(state: string): Promise<void> {
    return this.until(`the state ${state}`, async () => (await this.status())['state'] === state);
  }

  untilInFlight(count: number): Promise<void> {
    return this.until(`${count} requests in flight`, async () => (await this.status())['inFlight'] === count);
  }

  /** The process is gone; its exit code is looked at where the kit can see it. */
  async expectEnd(exitCode: number): Promise<void> {
    const { process } = this.facts;
    if (process === undefined) return this.until('the process to end', async () => !(await this.answers()));
    const exit = await this.exited();
    expectLike('the end of the process', exit, { exitCode, signal: null });
  }

  async expectGone(): Promise<void> {
    if (this.facts.process === undefined) return this.expectEnd(0);
    await this.exited();
  }

  async exited(): Promise<ExitStatus> {
    const { process } = this.facts;
    if (process === undefined) throw new Error('the kit did not start this process');
    const late = new AbortController();
    try {
      return await Promise.race([
        process.exited,
        sleep(END_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
          throw new BrokenRule('the end of the process', `within ${END_TIMEOUT_MS} ms`, 'it still runs');
        }),
      ]);
    } finally {
      late.abort();
    }
  }

  /** `termination.json`; not looked at where its folder cannot be seen. */
  expectTermination(expected: Record<string, unknown> | undefined): void {
    const { control } = this.facts;
    if (!('socketPath' in control)) return;
    const file = path.join(path.dirname(control.socketPath), 'termination.json');
    const found: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
    expectLike('termination.json', found, expected);
  }

  async answers(): Promise<boolean> {
    try {
      await exchange(this.facts.control, { method: 'GET', path: '/v1/health' }, new Trail());
      return true;
    } catch {
      return false;
    }
  }

  /** A case that fails leaves answers behind that nobody waits for any more. */
  #exchange(address: Address, outgoing: Outgoing, look: (answer: Answer) => void = () => {}): Promise<Answer> {
    const answer = exchange(address, outgoing, this.trail).then((each) => {
      look(each);
      return each;
    });
    answer.catch(() => {});
    return answer;
  }

  dispose(): Promise<void> {
    return this.facts.dispose();
  }
}
