import path from 'node:path';
import { BlockedError } from './block-guard.mjs';
import { AgentError } from './errors.mjs';
import { ExitCalled } from './exit-trap.mjs';
import { clearTimeout, Math, performance, Promise, Set, setTimeout } from './globals.mjs';
import { environmentOf, replaceEnvironment } from './identity.mjs';
import { usePrepared } from './prepared.mjs';
import { describeUserError } from './user-error.mjs';
import { findHandlerFile, findMainFile, pickHandler, startImport } from './user-module.mjs';

/**
 * @import { LoadReply, LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 * @import { TerminationReason } from './termination.mjs'
 */

/** @typedef {(importMs: number) => LoadReply | undefined} BecomeReady `undefined`: the process is ending meanwhile */

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * @typedef {object} LoaderDeps
 * @property {import('./config.mjs').Config} config
 * @property {import('./held/held-modules.mjs').HeldModules | undefined} held
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./block-guard.mjs').BlockGuard} guard
 * @property {import('./http-app.mjs').HttpApp} app
 * @property {import('./invocations.mjs').Invocations} invocations
 * @property {() => Promise<void>} listen serves the handler on the served port
 * @property {() => void} watchApp starts to count the app's requests
 * @property {() => void} whenAccepted before anything of the load is done
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

  /**
   * @param {LoadRequest} request
   * @param {(reply: LoadReply) => void} [answerEarly] called as soon as the reply is certain, which may be a good while before
   *   the promise resolves
   * @returns {Promise<LoadReply>}
   */
  load(request, answerEarly = () => {}) {
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
    enterFolder(request.code.path);
    this.accepted = { ...request, limits: withinTimers(request.limits) };
    this.#result = this.#run(this.accepted, answerEarly);
    return this.#result;
  }

  /** User code ended itself, or an error of it reached nobody. @returns {boolean} whether that was during a load @param {unknown} thrown */
  fail(thrown) {
    if (this.#abort === undefined) return false;
    this.#abort(this.#userCodeError(thrown));
    return true;
  }

  /** @param {LoadRequest} request @param {(reply: LoadReply) => void} answerEarly @returns {Promise<LoadReply>} */
  async #run(request, answerEarly) {
    const { lifecycle, whenAccepted, whenReady, app, discard } = this.#deps;
    const startedAt = performance.now();
    whenAccepted();
    lifecycle.moveTo('loading');
    const { initTimeoutMs } = request.limits;
    const { promise: aborted, reject } = Promise.withResolvers();
    let isAborted = false;
    this.#abort = (error) => {
      isAborted = true;
      reject(error);
    };
    /** @param {number} importMs */
    const becomeReady = (importMs) => {
      if (isAborted || lifecycle.state !== 'loading') return undefined;
      lifecycle.moveTo('ready');
      const reply = this.#reply(request, importMs, performance.now() - startedAt);
      answerEarly(reply);
      return reply;
    };
    const timer = setTimeout(() => reject(this.#tooLate(request)), initTimeoutMs);
    try {
      const reply = await Promise.race([
        /** @type {Promise<never>} */ (aborted),
        request.kind === 'http' ? this.#bindApp(request, becomeReady) : this.#bindHandler(request, becomeReady),
      ]);
      if (reply === undefined) throw new AgentError('Draining', 'the process ended while it was loading');
      whenReady();
      return reply;
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

  /** @param {LoadRequest} request @param {BecomeReady} becomeReady */
  async #bindHandler(request, becomeReady) {
    const { config, held, invocations, listen } = this.#deps;
    const { file, exportName } = findHandlerFile(request.code.path, request.handler);
    bindProcess(request, config, file);
    await listen();
    const startedAt = performance.now();
    const prepared = usePrepared(request.code.path);
    held?.offer(request.code.path, () => prepared?.packages());
    /** @param {unknown} exports */
    const finish = (exports) => {
      const importMs = performance.now() - startedAt;
      this.#phase = 'handler';
      invocations.bind(pickHandler(exports, exportName, request.handler), request);
      return becomeReady(importMs);
    };
    /** @type {{ reply: LoadReply | undefined } | undefined} */
    let finished;
    try {
      const exports = await this.#guarded(request, () => {
        const imported = startImport(file, false);
        // the guard takes its time to end: the answer need not wait for that
        if (!(imported instanceof Promise)) finished = { reply: finish(imported) };
        return imported;
      });
      return finished === undefined ? finish(exports) : finished.reply;
    } catch (error) {
      // cut off after the answer, where nothing of the user's runs any more
      if (finished?.reply !== undefined && error instanceof AgentError && error.code === 'InitTimeout') {
        return finished.reply;
      }
      throw error;
    }
  }

  /** @param {LoadRequest} request @param {BecomeReady} becomeReady */
  async #bindApp(request, becomeReady) {
    const { config, held, app, watchApp } = this.#deps;
    const file = findMainFile(request.code.path, request.handler);
    bindProcess(request, config, file);
    const isServed = app.listening(config.host, config.port);
    watchApp();
    const startedAt = performance.now();
    const prepared = usePrepared(request.code.path);
    held?.offer(request.code.path, () => prepared?.packages());
    await this.#guarded(request, () => startImport(file, true));
    const importMs = performance.now() - startedAt;
    this.#phase = 'listen';
    await isServed;
    return becomeReady(importMs);
  }

  /** @param {LoadRequest} request @param {() => unknown} start */
  async #guarded({ limits: { initTimeoutMs } }, start) {
    try {
      return await this.#deps.guard.run(start, initTimeoutMs);
    } catch (error) {
      if (!(error instanceof BlockedError)) throw error;
      throw new AgentError('InitTimeout', `the module ${error.message} while it was imported`, { phase: 'import' });
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

/** @param {string} folder */
function enterFolder(folder) {
  try {
    if (path.isAbsolute(folder)) return process.chdir(folder);
  } catch {
    // said below
  }
  const details = [{ field: 'code.path', message: 'must be the absolute path of a folder' }];
  throw new AgentError('BadRequest', `the load request is wrong: code.path: ${folder} is not a folder`, { details });
}

/** @param {LoadRequest} request @param {import('./config.mjs').Config} config @param {string} file */
function bindProcess(request, config, file) {
  replaceEnvironment(environmentOf(request.env, process.env, config.port));
  process.argv.splice(0, process.argv.length, process.execPath, file);
  // the one option of a started process that can still be had
  if (/(^|\s)--enable-source-maps(\s|$)/.test(request.env['NODE_OPTIONS'] ?? '')) process.setSourceMapsEnabled(true);
}

/** Node's timers count in 31 bits and fire at once beyond. @param {LoadRequest['limits']} limits */
function withinTimers({ requestTimeoutMs, initTimeoutMs, ...others }) {
  return {
    ...others,
    requestTimeoutMs: Math.min(requestTimeoutMs, LONGEST_TIMER_MS),
    initTimeoutMs: Math.min(initTimeoutMs, LONGEST_TIMER_MS),
  };
}
