import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts';
import { badField, isJson, parseJson, readBody, Refusal, sendRefusal } from './model-answers.ts';
import { callActs, ExitCalled } from './model-functions.ts';
import type { FunctionWorld } from './model-functions.ts';
import type { ModelLogs } from './model-logs.ts';

const MIB = 1024 * 1024;
const ID = /^[A-Za-z0-9._:-]{1,128}$/;

interface Call {
  id: string;
  event: unknown;
  callerDeadline: number;
  http: object;
  record: Record_;
  abort: AbortController;
  isKilled: boolean;
  arrivedAt: number;
  startedAt: number;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  timer?: NodeJS.Timeout;
}
interface Record_ {
  id: string;
  state: string;
  startedAtUnixMs: number;
  endedAtUnixMs?: number;
  exitReason?: string;
}

export interface RequestWorld {
  breaks: (rule: string) => boolean;
  logs: ModelLogs;
  functions: () => FunctionWorld;
  output: (stream: 'stdout' | 'stderr', bytes: string | Buffer) => void;
  load: () => { request: LoadRequest; name: string } | undefined;
  isEnding: () => boolean;
  /** What status shows has changed; `isCounted` unless a fault hides it. */
  changed: (isCounted?: boolean) => void;
  fail: (reason: string, message: string, requestId?: string) => void;
}

/** The model's requests to its handler: a line, those that run, and what became of the last hundred. */
export class ModelRequests {
  executions = 0;
  idleSinceUnixMs: number | undefined;
  readonly records: Record_[] = [];
  readonly #running = new Set<Call>();
  #waiting: Call[] = [];
  #isFirst = true;
  #madeUp = 0;
  readonly #world: RequestWorld;

  constructor(world: RequestWorld) {
    this.#world = world;
  }

  get inFlight(): number {
    return this.#running.size + this.#waiting.length;
  }

  async serve(
    request: IncomingMessage,
    response: ServerResponse,
    as?: { method: string; path: string },
  ): Promise<void> {
    const { breaks } = this.#world;
    const headers: Record<string, string> = {};
    try {
      const id = this.#idOf(request);
      headers['x-request-id'] = id;
      const callerDeadline = this.#deadlineOf(request);
      this.#admit(id);
      const limit = breaks('INVOKE-24') ? 5 * MIB : breaks('INVOKE-25') ? 60 * MIB : 6 * MIB;
      const event = this.#event(request, await readBody(request, limit));
      const url = new URL(request.url ?? '/', 'http://model');
      const { method = 'GET', url: _ = '' } = request;
      const facts = {
        method: as?.method ?? method,
        path: as?.path ?? (breaks('INVOKE-4') ? request.url : url.pathname),
        query: Object.fromEntries(url.searchParams),
        headers: request.headers,
      };
      headers['x-start-type'] = this.#isFirst && !breaks('INVOKE-10') ? 'standby' : 'warm';
      this.#isFirst = false;
      const call = this.#open(id, event, callerDeadline, facts);
      const value = await this.#outcome(call);
      const times = { queue: call.startedAt - call.arrivedAt, handler: performance.now() - call.startedAt };
      const handler = breaks('INVOKE-11') ? '' : `, handler;dur=${times.handler.toFixed(2)}`;
      headers['server-timing'] = `queue;dur=${times.queue.toFixed(2)}${handler}`;
      await this.#send(response, value, headers, call);
    } catch (error) {
      request.resume();
      sendRefusal(response, error, breaks('INVOKE-6') ? {} : headers, breaks);
    }
  }

  kill(id: string, isForced: boolean, graceMs: number, reason: string): { status: number; state: string } {
    const { breaks, fail } = this.#world;
    const call = [...this.#running, ...this.#waiting].find((each) => each.id === id);
    const record = this.records.findLast((each) => each.id === id);
    if (record === undefined) {
      if (breaks('KILL-7')) return { status: 200, state: 'succeeded' };
      throw new Refusal(404, 'RequestUnknown', `no request ${id}`);
    }
    if (call === undefined) return { status: breaks('KILL-3') ? 202 : 200, state: record.state };
    const error = new Refusal(502, 'RequestKilled', `killed${breaks('KILL-2') ? '' : `: ${reason}`}`);
    if (this.#waiting.includes(call)) {
      this.#waiting = this.#waiting.filter((each) => each !== call);
      this.#settle(call, 'cancelled', error);
      if (breaks('KILL-6')) for (const each of this.#running) this.#settle(each, 'cancelled', error);
      return { status: 202, state: 'cancelled' };
    }
    call.isKilled = true;
    call.abort.abort(error);
    const giveUp = (): void => {
      if (!this.#running.has(call)) return;
      const late = new Refusal(504, 'RequestTimeout', 'late');
      this.#settle(call, 'cancelled', isForced && breaks('KILL-5') ? late : error);
      fail(!isForced && breaks('KILL-4') ? 'Crashed' : 'Killed', `request ${id} did not stop: ${reason}`, id);
    };
    setTimeout(giveUp, isForced ? 0 : graceMs).unref();
    return { status: 202, state: 'running' };
  }

  /** Whoever waits gets an answer before the process ends. */
  failAll(message: string): void {
    for (const call of this.#running) this.#settle(call, 'failed', new Refusal(502, 'UserError', message));
    this.dropWaiting();
  }

  dropWaiting(): void {
    for (const call of this.#waiting.splice(0)) this.#settle(call, 'lost', new Refusal(410, 'Draining', 'ending'));
  }

  #idOf(request: IncomingMessage): string {
    const { breaks } = this.#world;
    const given = request.headers['x-request-id'];
    if (given === undefined) return `made${breaks('INVOKE-7') ? ' ' : '-'}up-${++this.#madeUp}`;
    if (ID.test(String(given)) || breaks('INVOKE-8')) return String(given);
    throw badField('X-Request-Id', 'is malformed');
  }

  #deadlineOf(request: IncomingMessage): number {
    const given = request.headers['x-deadline-ms'];
    if (given === undefined) return Infinity;
    const deadline = Number(given);
    if (Number.isFinite(deadline)) return deadline;
    if (this.#world.breaks('INVOKE-9')) return Infinity;
    throw badField('X-Deadline-Ms', 'is malformed');
  }

  #admit(id: string): void {
    const { breaks, isEnding, load } = this.#world;
    if (isEnding() && !breaks('LIFE-9')) throw new Refusal(410, 'Draining', 'this process is ending');
    const loaded = load();
    if (loaded === undefined || loaded.request.kind === 'http') {
      const rule = loaded === undefined ? 'INVOKE-1' : 'APP-3';
      throw new Refusal(breaks(rule) ? 404 : 425, 'NotLoaded', 'no handler is loaded here');
    }
    if (this.#waiting.length >= (breaks('QUEUE-3') ? 200 : 100)) {
      throw new Refusal(429, 'QueueFull', 'a hundred wait already', { retryAfterSeconds: 1 });
    }
    const isTwin = [...this.#running, ...this.#waiting].some((each) => each.id === id);
    if (isTwin && !breaks('QUEUE-4')) throw new Refusal(409, 'RequestIdInUse', `${id} is in use`);
  }

  #event(request: IncomingMessage, body: Buffer): unknown {
    const { breaks } = this.#world;
    if (body.length === 0) return breaks('INVOKE-16') ? { act: 'echo', made: 'up' } : {};
    const type = request.headers['content-type'] ?? '';
    if (isJson(type) && !(breaks('INVOKE-14') && type.includes('+json'))) {
      const clean = breaks('INVOKE-2') ? Buffer.from(body.toString().replaceAll('\u2028', ' ')) : body;
      return parseJson(clean, breaks('INVOKE-15') ? 'BadRequest' : 'BadJson');
    }
    if (type.startsWith('text/') && !breaks('INVOKE-12')) return body.toString('utf8');
    return breaks('INVOKE-13') && !type.startsWith('text/') && body.length < 10 ? body.toString('utf8') : body;
  }

  #open(id: string, event: unknown, callerDeadline: number, http: object): Call {
    const record: Record_ = { id, state: 'queued', startedAtUnixMs: Date.now() };
    this.records.push(record);
    const rest = { abort: new AbortController(), isKilled: false, arrivedAt: performance.now(), startedAt: 0 };
    const noop = (): void => {};
    return { id, event, callerDeadline, http, record, ...rest, resolve: noop, reject: noop };
  }

  #outcome(call: Call): Promise<unknown> {
    const { breaks, changed } = this.#world;
    const answer = new Promise((resolve, reject) => Object.assign(call, { resolve, reject }));
    const late = new Refusal(504, 'RequestTimeout', 'the deadline passed before it could start');
    if (call.callerDeadline <= Date.now() && !breaks('TIME-3')) {
      this.#settle(call, 'timed_out', late);
      return answer;
    }
    if (breaks('QUEUE-2')) this.#waiting.unshift(call);
    else this.#waiting.push(call);
    changed(!breaks('STATUS-6'));
    if (Number.isFinite(call.callerDeadline) && !breaks('TIME-4')) {
      call.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((each) => each !== call);
        this.#settle(call, 'timed_out', late);
      }, call.callerDeadline - Date.now());
    }
    this.#next();
    return answer;
  }

  #room(): number {
    const { breaks, load } = this.#world;
    const asked = load()?.request.limits.concurrency;
    const first = this.#waiting[0]?.event as { act?: string } | undefined;
    if (asked === undefined && breaks('QUEUE-1') && first?.act === 'overlap') return 2;
    if (asked === 3 && breaks('QUEUE-6')) return 2;
    return asked ?? 1;
  }

  #next(): void {
    while (this.#waiting.length > 0 && this.#running.size < this.#room()) {
      const call = this.#waiting.shift();
      if (call !== undefined) void this.#run(call);
    }
  }

  async #run(call: Call): Promise<void> {
    const { breaks, changed, load, logs, functions, fail } = this.#world;
    const loaded = load();
    if (loaded === undefined) return;
    clearTimeout(call.timer);
    this.#running.add(call);
    call.record.state = 'running';
    call.startedAt = performance.now();
    logs.begin(call.id);
    changed(!breaks('STATUS-6'));
    const ownDeadline = Date.now() + loaded.request.limits.requestTimeoutMs;
    const deadlineUnixMs = Math.min(ownDeadline, call.callerDeadline);
    const told = breaks('TIME-6') ? ownDeadline : deadlineUnixMs;
    call.timer = setTimeout(
      () => this.#timeOut(call, fail),
      Math.max(breaks('TIME-3') ? 50 : 0, deadlineUnixMs - Date.now()),
    );
    const { claimId, function: identity, service } = loaded.request;
    const context = {
      requestId: call.id,
      deadlineUnixMs: told,
      remainingTimeMs: told - Date.now(),
      claimId,
      function: identity,
      service: breaks('INVOKE-3') ? {} : service,
      http: call.http,
      signal: call.abort.signal,
    };
    const world = {
      ...functions(),
      write: (stream: 'stdout' | 'stderr', bytes: string | Buffer) => this.#write(stream, bytes, call),
    };
    try {
      const value =
        loaded.name === 'slowImport' ? { ok: !breaks('CODE-8') } : await callActs(call.event, context, world);
      if (isStream(value)) call.resolve(value);
      else this.#settle(call, 'succeeded', value);
    } catch (error) {
      this.#failed(call, error);
    }
  }

  #write(stream: 'stdout' | 'stderr', bytes: string | Buffer, call: Call): void {
    this.#world.logs.write(stream, bytes, call.id);
    if (!this.#world.breaks('LOGS-4')) this.#world.output(stream, bytes);
  }

  #failed(call: Call, error: unknown): void {
    const { breaks, fail } = this.#world;
    if (call.isKilled) {
      this.#settle(call, 'cancelled', call.abort.signal.reason);
      if (breaks('KILL-1') && (call.abort.signal.reason as Error).message === 'killed: ') {
        this.#world.load = () => undefined;
      }
      return;
    }
    const phase = breaks('INVOKE-27') ? {} : { phase: 'invoke' };
    if (error instanceof ExitCalled) {
      const words = breaks('INVOKE-28') ? 'the function left' : error.message;
      this.#settle(call, 'failed', new Refusal(502, 'UserError', words, phase));
      return fail('Exited', error.message, call.id);
    }
    const message = (error as Error).message;
    this.#settle(
      call,
      'failed',
      new Refusal(502, 'UserError', `Error: ${message}`, { ...phase, stack: 'at code/index:1' }),
    );
    if (breaks('STATUS-14') && !message.includes('dried')) call.record.exitReason = 'failed';
  }

  #timeOut(call: Call, fail: RequestWorld['fail']): void {
    const { breaks } = this.#world;
    if (!this.#running.has(call)) return;
    const { act } = call.event as { act?: string };
    const isOfCaller = Number.isFinite(call.callerDeadline);
    const error = new Refusal(
      isOfCaller && breaks('TIME-2') ? 502 : 504,
      'RequestTimeout',
      'the request did not end in time',
    );
    this.#settle(call, 'timed_out', error);
    if (act === 'spin' && breaks('TIME-5')) return fail('', 'spun');
    fail(
      'RequestTimeout',
      'the request did not end in time',
      act === 'stubborn' && breaks('TIME-1') ? undefined : call.id,
    );
  }

  #settle(call: Call, state: string, outcome: unknown): void {
    const { record } = call;
    clearTimeout(call.timer);
    if (record.endedAtUnixMs !== undefined) return;
    record.state = state;
    record.endedAtUnixMs = Date.now();
    if (outcome instanceof Refusal) record.exitReason = `${outcome.code}: ${outcome.message}`;
    this.#world.logs.end(call.id);
    if (this.#running.delete(call)) {
      this.executions = this.#world.breaks('STATUS-9') ? 1 : this.executions + 1;
      if (!this.#world.breaks('STATUS-10')) this.idleSinceUnixMs = Date.now();
    }
    if (outcome instanceof Refusal) call.reject(outcome);
    else call.resolve(outcome);
    this.#world.changed();
    this.#next();
  }

  async #send(response: ServerResponse, value: unknown, headers: Record<string, string>, call: Call): Promise<void> {
    const { breaks } = this.#world;
    if (breaks('INVOKE-29')) response.setHeader('connection', 'close');
    if (isStream(value)) return this.#sendStream(response, value, headers, call);
    if (value === undefined || value === null) {
      return void response.writeHead(breaks('INVOKE-17') ? 200 : 204, headers).end();
    }
    const result = value as { statusCode?: unknown; headers?: Record<string, string>; body?: unknown };
    if (typeof value === 'object' && Number.isInteger(result.statusCode)) {
      const status = Number(result.statusCode);
      if (status < 200 || status > 599 || 'bad name' in (result.headers ?? {})) {
        throw new Refusal(breaks('INVOKE-22') ? 500 : 502, 'UserError', 'the result cannot be sent', {
          phase: 'invoke',
        });
      }
      const isSmuggling = Object.values(result.headers ?? {}).some((text) => /[\r\n]/.test(text));
      if (isSmuggling && !breaks('INVOKE-23')) throw new Refusal(502, 'UserError', 'a header holds a line break');
      const own = isSmuggling || breaks('INVOKE-21') ? {} : result.headers;
      const { bytes } = encoded(result.body, breaks);
      return void response.writeHead(status, { ...own, ...headers }).end(bytes);
    }
    const { type, bytes } = encoded(value, breaks);
    response.writeHead(200, { ...(type !== undefined && { 'content-type': type }), ...headers }).end(bytes);
  }

  async #sendStream(
    response: ServerResponse,
    pieces: AsyncIterable<string>,
    headers: Record<string, string>,
    call: Call,
  ): Promise<void> {
    const { breaks } = this.#world;
    const held: string[] = [];
    const flush = setTimeout(() => response.write(held.splice(0).join('')), 2_000);
    response.writeHead(200, headers);
    try {
      for await (const piece of untilAborted(pieces, call.abort.signal)) {
        if (breaks('INVOKE-30')) held.push(piece);
        else response.write(piece);
      }
      response.end(held.join(''));
      this.#settle(call, 'succeeded', undefined);
    } catch (error) {
      this.#failed(call, error);
      await sleep(20);
      if (breaks(call.isKilled ? 'INVOKE-32' : 'INVOKE-31')) response.end();
      else response.destroy();
    } finally {
      clearTimeout(flush);
    }
  }
}

async function* untilAborted(pieces: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<string> {
  const iterator = pieces[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => {});
  signal.addEventListener('abort', () => reject(signal.reason));
  for (;;) {
    const step = await Promise.race([iterator.next(), aborted]);
    if (step.done === true) return;
    yield step.value;
  }
}

const isStream = (value: unknown): value is AsyncIterable<string> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

function encoded(value: unknown, breaks: (rule: string) => boolean): { type?: string; bytes: string | Uint8Array } {
  if (typeof value === 'string') {
    return { type: breaks('INVOKE-18') ? 'application/json' : 'text/plain; charset=utf-8', bytes: value };
  }
  if (value instanceof Uint8Array) {
    return { type: breaks('INVOKE-19') ? 'text/plain' : 'application/octet-stream', bytes: value };
  }
  return { type: breaks('INVOKE-20') ? 'text/json' : 'application/json', bytes: JSON.stringify(value) };
}
