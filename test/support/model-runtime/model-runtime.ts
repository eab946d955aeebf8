import { randomUUID } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentKillRequestSchema, ENV_ALLOW_LIST } from '@warmpool/protocol/runtime-agent-api.ts';
import type { AgentState, LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts';
import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { badField, parseJson, readBody, Refusal, sendJson, sendRefusal } from './model-answers.ts';
import { checkedLoad, checkFolder, importFunction, listening, startApp } from './model-load.ts';
import { ModelLogs } from './model-logs.ts';
import { ModelRequests } from './model-requests.ts';

const MIB = 1024 * 1024;
const DRAIN_MS = 10_000;

export interface ModelWorld {
  /** The environment that the process was started with. */
  env: Record<string, string>;
  output: (stream: 'stdout' | 'stderr', bytes: string | Buffer) => void;
  exit: (exitCode: number | null, signal: string | null) => void;
  /** Whether this rule of the contract is the one to break. */
  breaks: (rule: string) => boolean;
}

interface Loaded {
  request: LoadRequest;
  name: string;
  answer: Promise<object>;
}

/**
 * The smallest runtime that keeps docs/runtime-contract.md, for one purpose: to break one of its rules on demand. Its functions
 * are built in, and its process is a part of another one.
 */
export class ModelRuntime {
  #state: AgentState = 'booting';
  #seq = 0;
  #sinceUnixMs = Date.now();
  readonly #epoch: string;
  readonly #world: ModelWorld;
  readonly #folder: string;
  readonly #socketPath: string;
  readonly #port: number;
  readonly #requests: ModelRequests;
  readonly #logs: ModelLogs;
  readonly #control: http.Server;
  readonly #servers: http.Server[] = [];
  #load: Loaded | undefined;
  #fence = 0;
  #firstFence = 0;
  #refusedClaim: string | undefined;
  #readyAtUnixMs: number | undefined;
  #signals = 0;
  #isOver = false;
  /** Of a runtime that breaks LIFE-2. */
  #early: http.Server | undefined;
  #healths: number[] = [];
  #importEnv: Record<string, string> = {};
  #counters = { running: 0, most: 0 };

  constructor(world: ModelWorld) {
    this.#world = world;
    const { env, breaks } = world;
    this.#socketPath = env['WARMPOOL_SOCKET'] ?? '';
    this.#folder = path.dirname(this.#socketPath);
    this.#port = Number(env['WARMPOOL_PORT']);
    this.#epoch = breaks('STATUS-7') ? 'always-the-same' : randomUUID();
    this.#logs = new ModelLogs(Number(env['WARMPOOL_LOG_BYTES'] ?? 262_144), breaks);
    this.#requests = new ModelRequests({
      breaks,
      logs: this.#logs,
      output: world.output,
      functions: () => ({
        env: this.#env(),
        importEnv: this.#importEnv,
        codePath: this.#load?.request.code.path ?? '',
        write: world.output,
        breaks,
        counters: this.#counters,
      }),
      load: () => (this.#isLoaded() ? this.#load : undefined),
      isEnding: () => this.#isEnding(),
      changed: (isCounted = true) => {
        if (isCounted) this.#seq += 1;
        if (this.#isServing()) this.#state = this.#requests.inFlight > 0 ? 'busy' : 'ready';
        if (this.#state === 'draining' && this.#requests.inFlight === 0) setTimeout(() => this.#end(0), 60);
      },
      fail: (reason, message, requestId) => this.#fail(reason, message, requestId),
    });
    this.#control = http.createServer(
      { keepAliveTimeout: 60_000 },
      (request, response) => void this.#serve(request, response),
    );
    this.#control.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const rule = { HPE_HEADER_OVERFLOW: 'HTTP-10', HPE_UNEXPECTED_CONTENT_LENGTH: 'HTTP-8' }[error.code ?? ''];
      const isBoth = error.message.includes('Transfer-Encoding') || error.code === 'HPE_INVALID_TRANSFER_ENCODING';
      const broken = breaks(isBoth ? 'HTTP-9' : (rule ?? 'HTTP-7'));
      socket.end(`HTTP/1.1 ${broken ? '200 OK' : '400 Bad Request'}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
    this.#servers.push(this.#control);
  }

  async boot(): Promise<void> {
    const { env, breaks, output } = this.#world;
    const port = env['WARMPOOL_PORT'] ?? '';
    if (!/^\d+$/.test(port)) {
      output('stderr', `WARMPOOL_PORT must be a number, not ${port}\n`);
      return this.#over(breaks('LIFE-3') ? 1 : 2);
    }
    if (env['WARMPOOL_PRE_IMPORT'] !== undefined) {
      if (!breaks('LIFE-4')) this.#note('BootFailed', `${env['WARMPOOL_PRE_IMPORT']} cannot be imported`);
      return this.#over(1);
    }
    if (breaks('LIFE-1')) {
      writeFileSync(this.#socketPath, '');
      await sleep(100);
    }
    if (breaks('LIFE-2')) this.#servers.push((this.#early = await listening(this.#served(), this.#port)));
    const hidden = `${this.#socketPath}.booting`;
    await new Promise<void>((resolve) => void this.#control.listen(hidden, resolve));
    this.#move('standby');
    renameSync(hidden, this.#socketPath);
  }

  signal(): void {
    this.#signals += 1;
    if (this.#signals > 1) return this.#world.breaks('LIFE-10') ? undefined : this.#over(null, 'SIGKILL');
    if (this.#state === 'standby' && this.#world.breaks('LIFE-7')) this.#note('Killed', 'SIGTERM');
    if (this.#load?.request.kind === 'http' && this.#world.breaks('APP-9')) this.#note('Killed', 'SIGTERM');
    const limitMs = this.#world.breaks('LIFE-10') ? 6_000 : DRAIN_MS;
    this.#drain(limitMs);
  }

  endLifeline(): void {
    if (!this.#world.breaks('LIFE-6')) this.#over(null, 'SIGKILL');
  }

  kill(): void {
    this.#over(null, 'SIGKILL');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { breaks } = this.#world;
    const url = new URL(request.url ?? '/', 'http://model');
    if (breaks('HTTP-5')) response.setHeader('connection', 'close');
    try {
      const routes: Record<string, [string, () => Promise<void> | void]> = {
        '/v1/health': ['GET', () => this.#health(response, url.searchParams)],
        '/v1/status': ['GET', () => this.#status(response, url.searchParams)],
        '/v1/logs': ['GET', () => this.#logsRoute(response, url.searchParams)],
        '/v1/load': ['POST', () => this.#loadRoute(request, response)],
        '/v1/kill': ['POST', () => this.#kill(request, response)],
        '/v1/invoke': ['POST', () => this.#requests.serve(request, response, { method: 'POST', path: '/' })],
      };
      const [method, answer] = routes[url.pathname] ?? [];
      if (answer === undefined)
        throw new Refusal(breaks('HTTP-1') ? 400 : 404, 'RouteNotFound', `there is no ${url.pathname}`);
      if (method !== request.method) {
        const facts = breaks('HTTP-2') ? {} : { allow: method };
        throw new Refusal(405, 'MethodNotAllowed', `${url.pathname} takes ${method}`, facts);
      }
      await answer();
    } catch (error) {
      if ((error as Error).message === 'aborted' && breaks('HTTP-12')) this.#move('failed');
      request.resume();
      sendRefusal(response, error, {}, breaks);
    }
  }

  #health(response: ServerResponse, query: URLSearchParams): void {
    const { breaks } = this.#world;
    const isReady = ['standby', 'ready', 'busy'].includes(this.#state);
    const isWrong =
      (breaks('STATUS-15') && this.#state === 'loading') || (breaks('STATUS-16') && this.#state === 'ready');
    this.#healths = this.#healths.filter((at) => at > Date.now() - 1_000).concat(Date.now());
    if (breaks('HTTP-6') && this.#healths.length > 40) throw new Refusal(503, 'Overloaded', 'too many at once');
    const status = query.get('probe') === 'ready' && isReady === isWrong ? 503 : 200;
    const contract = breaks('STATUS-2') ? '0.9' : '1.0';
    sendJson(response, status, { contract, state: this.#state, ...(!breaks('STATUS-1') && { epoch: this.#epoch }) });
  }

  #status(response: ServerResponse, query: URLSearchParams): void {
    const { breaks, env } = this.#world;
    const id = query.get('requestId');
    const { records } = this.#requests;
    const at = records.findLastIndex((each) => each.id === id);
    if (id !== null && at < 0 && !breaks('STATUS-13')) throw new Refusal(404, 'RequestUnknown', `no request ${id}`);
    const own = at < 0 ? [] : records.slice(at, breaks('STATUS-12') ? undefined : at + 1);
    const load = this.#isEmpty() ? undefined : this.#load?.request;
    const isBusy = this.#state === 'busy' && breaks('STATUS-8');
    sendJson(response, 200, {
      contract: breaks('STATUS-2') ? '0.9' : '1.0',
      state: isBusy ? 'ready' : this.#state,
      epoch: this.#epoch,
      seq: this.#seq,
      sinceUnixMs: this.#sinceUnixMs,
      ...(load && { claimId: load.claimId, digest: load.code.digest, fence: this.#fence, port: this.#port }),
      ...(load && breaks('STATUS-5') && { digest: undefined }),
      ...(!load && breaks('STATUS-4') && { digest: 'none' }),
      runtime: { name: env['WARMPOOL_RUNTIME_NAME'], version: env['WARMPOOL_RUNTIME_VERSION'] },
      pid: process.pid,
      uptimeMs: performance.now(),
      inFlight: this.#requests.inFlight,
      executions: this.#requests.executions,
      idleSinceUnixMs: this.#requests.idleSinceUnixMs ?? this.#readyAtUnixMs,
      rssMiB: breaks('STATUS-3') ? '40' : 40,
      requests: id === null ? records.slice(breaks('STATUS-11') ? -50 : -100) : own,
    });
  }

  #logsRoute(response: ServerResponse, query: URLSearchParams): void {
    const { breaks } = this.#world;
    const limit = query.get('limitBytes');
    if (limit !== null && !/^\d+$/.test(limit) && !breaks('LOGS-8')) throw badField('limitBytes', 'is not a number');
    const logs = this.#logs.read(query.get('requestId') ?? undefined, limit === null ? Infinity : Number(limit));
    sendJson(response, 200, logs, {}, breaks('HTTP-4') ? 'text/plain' : 'application/json');
  }

  async #json(request: IncomingMessage, limitBytes: number): Promise<unknown> {
    const { breaks } = this.#world;
    const isLoad = request.url === '/v1/load';
    if (request.headers['content-type'] !== 'application/json' && !(isLoad && breaks('LOAD-12'))) {
      throw new Refusal(415, 'UnsupportedMediaType', 'the content type must be application/json');
    }
    const body = await readBody(request, limitBytes);
    const isChunked = request.headers['transfer-encoding'] === 'chunked';
    return parseJson(
      isChunked && breaks('HTTP-11') ? Buffer.from('') : body,
      breaks('LOAD-11') && isLoad ? 'BadRequest' : 'BadJson',
    );
  }

  async #loadRoute(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { breaks, env } = this.#world;
    const body = await this.#json(request, breaks('LOAD-13') ? 60 * MIB : 2 * MIB);
    if (body === null && breaks('LOAD-14')) throw new Refusal(500, 'Internal', 'null');
    if (breaks('LIFE-5') && env['WARMPOOL_REHEARSE'] === '0') throw new Refusal(500, 'Internal', 'not rehearsed');
    const load = checkedLoad(body, breaks);
    if (this.#load !== undefined) return this.#again(load, response, this.#load);
    if (this.#isEnding()) throw new Refusal(410, 'Draining', 'this process is ending');
    const { name, version } = load.runtime;
    if (name !== env['WARMPOOL_RUNTIME_NAME'] || version !== env['WARMPOOL_RUNTIME_VERSION']) {
      if (breaks('LOAD-17')) this.#refusedClaim = load.claimId;
      const own = `${env['WARMPOOL_RUNTIME_NAME']} ${env['WARMPOOL_RUNTIME_VERSION']}`;
      const words = breaks('LOAD-15') ? 'another runtime' : `this is ${own}, not ${name} ${version}`;
      throw new Refusal(412, 'RuntimeMismatch', words);
    }
    checkFolder(load, breaks);
    if (this.#refusedClaim !== undefined && this.#refusedClaim !== load.claimId) {
      throw new Refusal(409, 'PodNotStandby', 'something was tried here before');
    }
    const functionName = load.handler.split('.')[0] ?? '';
    this.#fence = this.#firstFence = load.fence;
    const answer = this.#become(load, functionName);
    this.#load = { request: load, name: functionName, answer };
    sendJson(response, 200, await answer);
  }

  async #again(load: LoadRequest, response: ServerResponse, own: Loaded): Promise<void> {
    const { breaks } = this.#world;
    const isLoading = this.#state === 'loading';
    const isOther = load.claimId !== own.request.claimId;
    const isOtherCode = load.code.digest !== own.request.code.digest && !breaks('LOAD-5');
    if (isLoading && isOther && breaks('LOAD-1')) return sendJson(response, 200, { claimId: load.claimId });
    if (isOther || isOtherCode) {
      const owner = breaks('LOAD-2') ? 'another claim' : own.request.claimId;
      throw new Refusal(409, 'PodNotStandby', `this process belongs to ${owner}`);
    }
    const forgets = breaks('LOAD-6') && this.#fence === this.#firstFence;
    if (load.fence < this.#fence && !forgets) throw new Refusal(409, 'PodNotStandby', 'the fence is lower');
    if (!breaks('LOAD-7')) this.#fence = Math.max(this.#fence, load.fence);
    const answer = await own.answer.catch((error: unknown) => {
      if (breaks('CODE-15')) throw new Refusal(500, 'Internal', 'somebody else asked first');
      throw error;
    });
    const isDifferent = isLoading ? breaks('LOAD-4') : breaks('LOAD-3');
    sendJson(response, 200, isDifferent ? { ...answer, at: performance.now() } : answer);
  }

  async #become(request: LoadRequest, name: string): Promise<object> {
    const { breaks } = this.#world;
    const startedAt = performance.now();
    this.#move('loading');
    try {
      let importMs = 0;
      if (request.kind === 'handler') {
        const served = breaks('LIFE-2') ? undefined : this.#served();
        if (served !== undefined) this.#servers.push(await this.#listen(served));
        await importFunction(name, request, breaks);
        importMs = performance.now() - startedAt;
      } else {
        this.#early?.close();
        const print = (line: string): void => {
          if (!breaks('APP-4')) this.#logs.write('stdout', `${line}\n`, undefined);
        };
        const exit = (): void => this.#fail('Exited', 'the app called exit(5)', undefined, breaks('APP-11') ? 0 : 1);
        const { server } = await startApp(name, request, { port: this.#port, breaks, print, exit });
        if (server !== undefined) this.#servers.push(server);
      }
      if (this.#isEnding()) throw new Refusal(410, 'Draining', 'ended while loading');
      this.#importEnv = breaks('ENV-2') ? {} : this.#env(request);
      this.#readyAtUnixMs = Date.now();
      this.#move('ready');
      const { claimId, limits } = request;
      return {
        state: breaks('LOAD-18') && request.kind === 'handler' ? 'loaded' : 'ready',
        claimId,
        epoch: this.#epoch,
        port: request.kind === 'http' && breaks('APP-1') ? this.#port + 1 : this.#port,
        ...(!breaks('QUEUE-5') && { concurrency: limits.concurrency ?? 1 }),
        timings: { importMs: breaks('LOAD-19') ? 1 : importMs, totalMs: performance.now() - startedAt },
      };
    } catch (error) {
      const { code, message } = error as Refusal;
      const isSilent = name === 'spinsOnImport' && breaks('CODE-7');
      const exitCode = code === 'HandlerNotFound' && breaks('CODE-13') ? 0 : 1;
      const words = breaks('CODE-14') ? 'it failed' : message;
      if (code !== 'Draining') this.#fail(isSilent ? '' : code, words, undefined, exitCode);
      throw error;
    }
  }

  async #listen(server: http.Server): Promise<http.Server> {
    try {
      return await listening(server, this.#port);
    } catch (error) {
      const isWrong = this.#world.breaks('LOAD-20');
      throw new Refusal(
        500,
        isWrong ? 'Internal' : 'ListenFailed',
        `the port cannot be used: ${(error as Error).message}`,
      );
    }
  }

  #served(): http.Server {
    return http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      if (this.#world.breaks('INVOKE-5') && request.url === '/v1/kill') return void response.writeHead(404).end();
      void this.#requests.serve(request, response);
    });
  }

  async #kill(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { breaks } = this.#world;
    const parsed = agentKillRequestSchema.safeParse(await this.#json(request, 64 * 1024));
    if (!parsed.success) {
      const details = fieldProblems(parsed.error).filter(({ field }) => !(breaks('KILL-8') && field === 'graceMs'));
      if (details.length > 0) throw new Refusal(400, 'BadRequest', 'the kill is wrong', { details });
    }
    const { requestId, mode = 'graceful', graceMs = 1_000, reason = '' } = parsed.data ?? {};
    if (requestId !== undefined) {
      const { status, state } = this.#requests.kill(requestId, mode === 'force', graceMs, reason);
      if (mode === 'force' && reason === 'stuck' && breaks('KILL-9')) this.#over(1);
      return sendJson(response, status, { requestId, state });
    }
    sendJson(response, 202, { state: mode === 'force' ? 'terminated' : 'draining' });
    if (mode === 'graceful') return this.#drain(graceMs, breaks('KILL-11') ? 0 : 1);
    const rule = this.#state === 'loading' ? 'KILL-13' : 'KILL-12';
    this.#fail('Killed', breaks(rule) ? 'killed' : `killed: ${reason}`);
  }

  #drain(graceMs: number, codeWhenLate = 1): void {
    const { breaks } = this.#world;
    if (this.#isEnding()) return;
    const wasLoading = this.#state === 'loading';
    this.#move('draining');
    if (breaks('LIFE-8')) this.#requests.dropWaiting();
    const isKilled = this.#signals === 0;
    const wrong = isKilled && (wasLoading ? breaks('KILL-14') : breaks('KILL-10'));
    if (this.#requests.inFlight === 0) return void setTimeout(() => this.#end(wrong ? 1 : 0), 60);
    setTimeout(() => this.#fail('Killed', 'a request was still running', undefined, codeWhenLate), graceMs).unref();
  }

  /** The answers that tell of it leave first. */
  #fail(reason: string, message: string, requestId?: string, exitCode = 1): void {
    if (this.#state === 'failed' || this.#isOver) return;
    this.#move('failed');
    if (reason !== '') this.#note(reason, message, requestId);
    this.#requests.failAll(message);
    setTimeout(() => this.#over(exitCode), 100);
  }

  #end(exitCode: number): void {
    this.#move('terminated');
    this.#over(exitCode);
  }

  #over(exitCode: number | null, signal: string | null = null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
    rmSync(this.#socketPath, { force: true });
    this.#world.exit(exitCode, signal);
  }

  #note(reason: string, message: string, requestId?: string): void {
    const body = JSON.stringify({ reason, message, requestId, atUnixMs: Date.now() });
    writeFileSync(path.join(this.#folder, 'termination.json'), body);
  }

  #env(request = this.#load?.request): Record<string, string> {
    const { env, breaks } = this.#world;
    const kept: Record<string, string> = {};
    const names = [...ENV_ALLOW_LIST, ...(breaks('ENV-1') ? ['CONTAINER_SECRET'] : [])];
    for (const name of names) if (env[name] !== undefined) kept[name] = env[name];
    if (breaks('ENV-6')) delete kept['TZ'];
    const own = { ...request?.env };
    if (breaks('ENV-3')) delete own['HOME'];
    if (breaks('ENV-5')) delete own['TZ'];
    if (breaks('ENV-7') && own['LINES'] !== undefined) own['LINES'] = own['LINES'].replaceAll('\r', '');
    const port = breaks('ENV-4') ? (own['PORT'] ?? String(this.#port)) : String(this.#port);
    return { ...kept, ...own, PORT: port };
  }

  #move(state: AgentState): void {
    if (this.#state === 'failed' && state !== 'terminated') return;
    this.#state = state;
    this.#sinceUnixMs = Date.now();
    this.#seq += 1;
  }

  #isEmpty = (): boolean => this.#state === 'booting' || this.#state === 'standby';
  #isServing = (): boolean => this.#state === 'ready' || this.#state === 'busy';
  #isLoaded = (): boolean => this.#isServing() || this.#state === 'draining';
  #isEnding = (): boolean => this.#state === 'draining' || this.#state === 'failed' || this.#state === 'terminated';
}
