import { statSync } from 'node:fs';
import path from 'node:path';
import { BlockedError } from './block-guard.mjs';
import { AgentError } from './errors.mjs';
import { ExitCalled } from './exit-trap.mjs';
import { clearTimeout, Math, performance, Promise, Set, setTimeout } from './globals.mjs';
import { environmentOf, replaceEnvironment } from './identity.mjs';
import { describeUserError } from './user-error.mjs';
import { findHandlerFile, findMainFile, pickHandler, startImport } from './user-module.mjs';

/**
 * @import { LoadReply, LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 * @import { TerminationReason } from './termination.mjs'
 */

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * @typedef {object} LoaderDeps
 * @property {import('./config.mjs').Config} config
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./block-guard.mjs').BlockGuard} guard
 * @property {import('./http-app.mjs').HttpApp} app
 * @property {import('./invocations.mjs').Invocations} invocations
 * @property {() => Promise<void>} listen serves the handler on the served port
 * @property {() => void} watchApp starts to count the app's requests
 * @property {() => void} whenReady
 * @property {(reason: TerminationReason, message: string) => void} discard
 */

/** Makes this process one instance of one function, once. */
export class Loader {
  /** @type {LoadRequest | undefined} */
  accepted;
  /** @type {Promise<LoadReply> | undefined} */
  #result;
  /** Ends a load that is under way. @type {((error: AgentError) => void) | undefined} */
  #abort;
  #phase = 'import';
  #deps;

  /** @param {LoaderDeps} deps */
  constructor(deps) {
    this.#deps = deps;
  }

  /** @param {LoadRequest} request @returns {Promise<LoadReply>} */
  load(request) {
    const { config, lifecycle } = this.#deps;
    if (this.accepted !== undefined && this.#result !== undefined) {
      this.#refuseOther(this.accepted, request);
      this.accepted = { ...this.accepted, fence: request.fence };
      return this.#result;
    }
    if (lifecycle.state !== 'standby') throw new AgentError('Draining', 'this process is ending');
    const { name, version } = request.runtime;
    if (name !== config.runtime.name || version !== config.runtime.version) {
      const words = `this process runs ${config.runtime.name} ${config.runtime.version}, not ${name} ${version}`;
      throw new AgentError('RuntimeMismatch', words);
    }
    if (!path.isAbsolute(request.code.path) || !statSync(request.code.path, { throwIfNoEntry: false })?.isDirectory()) {
      const details = [{ field: 'code.path', message: 'must be the absolute path of a folder' }];
      throw new AgentError('BadRequest', `the load request is wrong: code.path: ${request.code.path} is not a folder`, {
        details,
      });
    }
    this.accepted = { ...request, limits: withinTimers(request.limits) };
    this.#result = this.#run(this.accepted);
    return this.#result;
  }

  /** User code ended itself, or an error of it reached nobody. @returns {boolean} whether that was during a load @param {unknown} thrown */
  fail(thrown) {
    if (this.#abort === undefined) return false;
    this.#abort(this.#userCodeError(thrown));
    return true;
  }

  /** @param {LoadRequest} request */
  async #run(request) {
    const { lifecycle, whenReady, app, discard } = this.#deps;
    const startedAt = performance.now();
    lifecycle.moveTo('loading');
    const { initTimeoutMs } = request.limits;
    const { promise: aborted, reject } = Promise.withResolvers();
    this.#abort = reject;
    const timer = setTimeout(() => reject(this.#tooLate(request)), initTimeoutMs);
    try {
      const importMs = await Promise.race([
        /** @type {Promise<never>} */ (aborted),
        this.#bind(request, initTimeoutMs),
      ]);
      if (lifecycle.state !== 'loading') throw new AgentError('Draining', 'the process ended while it was loading');
      lifecycle.moveTo('ready');
      whenReady();
      return this.#reply(request, importMs, performance.now() - startedAt);
    } catch (thrown) {
      const error = thrown instanceof AgentError ? thrown : this.#userCodeError(thrown);
      if (error.code !== 'Draining') discard(/** @type {TerminationReason} */ (error.code), error.message);
      throw error;
    } finally {
      clearTimeout(timer);
      app.stopWaiting();
      this.#abort = undefined;
    }
  }

  /** @param {LoadRequest} request @param {number} initTimeoutMs @returns {Promise<number>} how long the import took */
  async #bind(request, initTimeoutMs) {
    const { config, guard, app, invocations, listen, watchApp } = this.#deps;
    const { handler, code } = request;
    const isApp = request.kind === 'http';
    process.chdir(code.path);
    replaceEnvironment(environmentOf(request.env, process.env, config.port));
    const { file, exportName } = isApp
      ? { file: findMainFile(code.path, handler), exportName: '' }
      : findHandlerFile(code.path, handler);
    process.argv.splice(0, process.argv.length, process.execPath, file);
    const isServed = isApp ? app.listening(config.host, config.port) : listen();
    isServed.catch(() => {});
    if (isApp) watchApp();
    const importStartedAt = performance.now();
    const exports = await this.#import(() => guard.run(() => startImport(file, isApp), initTimeoutMs));
    const importMs = performance.now() - importStartedAt;
    this.#phase = isApp ? 'listen' : 'handler';
    if (!isApp) invocations.bind(pickHandler(exports, exportName, handler), request);
    await isServed;
    return importMs;
  }

  /** @param {() => unknown} start */
  async #import(start) {
    try {
      return await start();
    } catch (error) {
      if (error instanceof BlockedError)
        throw new AgentError('InitTimeout', `the module ${error.message} while it was imported`, { phase: 'import' });
      throw error;
    }
  }

  /** @param {LoadRequest} accepted @param {LoadRequest} request */
  #refuseOther(accepted, request) {
    if (request.claimId !== accepted.claimId || request.code.digest !== accepted.code.digest) {
      throw new AgentError('PodNotStandby', `this process belongs to claim ${accepted.claimId} and loads only once`);
    }
    if (request.fence >= accepted.fence) return;
    throw new AgentError(
      'PodNotStandby',
      `fence ${request.fence} is lower than ${accepted.fence}, which was seen before`,
    );
  }

  /** @param {LoadRequest} request @param {number} importMs @param {number} totalMs @returns {LoadReply} */
  #reply(request, importMs, totalMs) {
    const { config, lifecycle } = this.#deps;
    const { claimId, limits } = request;
    const concurrency = limits.concurrency ?? 1;
    const timings = { importMs, totalMs };
    return { state: 'ready', claimId, epoch: lifecycle.epoch, port: config.port, concurrency, timings };
  }

  /** @param {LoadRequest} request */
  #tooLate(request) {
    const { config, app } = this.#deps;
    const { initTimeoutMs } = request.limits;
    const phase = this.#phase;
    if (phase !== 'listen') {
      return new AgentError('InitTimeout', `the module was not imported within ${initTimeoutMs} ms`, { phase });
    }
    if (app.listensElsewhere.length === 0) {
      const words = `the app did not listen on $PORT (${config.port}) within ${initTimeoutMs} ms`;
      return new AgentError('InitTimeout', words, { phase });
    }
    const places = [...new Set(app.listensElsewhere)].join(', ');
    return new AgentError(
      'UserCodeError',
      `the app listens on ${places}, not on $PORT (${config.host}:${config.port})`,
      { phase },
    );
  }

  /** @param {unknown} thrown */
  #userCodeError(thrown) {
    const phase = this.#phase;
    const when = phase === 'import' ? 'while it was imported' : 'before it was ready';
    if (thrown instanceof ExitCalled) {
      return new AgentError('UserCodeError', `the module called process.exit(${thrown.exitCode}) ${when}`, { phase });
    }
    const { message, stack } = describeUserError(thrown);
    return new AgentError('UserCodeError', `the module failed ${when}: ${message}`, {
      phase,
      ...(stack ? { stack } : {}),
    });
  }
}

/** Node's timers count in 31 bits and fire at once beyond. @param {LoadRequest['limits']} limits */
function withinTimers({ requestTimeoutMs, initTimeoutMs, ...others }) {
  return {
    ...others,
    requestTimeoutMs: Math.min(requestTimeoutMs, LONGEST_TIMER_MS),
    initTimeoutMs: Math.min(initTimeoutMs, LONGEST_TIMER_MS),
  };
}
