import { http } from './builtins.mjs';
import { BlockGuard } from './block-guard.mjs';
import { ControlServer } from './control-server.mjs';
import { Ending, OpenAnswers } from './ending.mjs';
import { AgentError } from './errors.mjs';
import { ExitTrap } from './exit-trap.mjs';
import { Error, Object, Promise, String } from './globals.mjs';
import { HttpApp } from './http-app.mjs';
import { Invocations } from './invocations.mjs';
import { InvokeRoute } from './invoke-route.mjs';
import { Lifecycle } from './lifecycle.mjs';
import { Loader } from './loader.mjs';
import { LogCapture } from './log-capture.mjs';
import { LogRing } from './log-ring.mjs';
import { Routes } from './routes.mjs';
import { TerminationFile } from './termination.mjs';
import { Watchdog } from './watchdog.mjs';

/** Long enough to be off the way of a claim's first requests. */
const WATCHDOG_DELAY_MS = 500;
const SERVED_KEEP_ALIVE_MS = 65_000;

/** @typedef {{ config: import('./config.mjs').Config, held?: import('./held/held-modules.mjs').HeldModules | undefined, terminationPath: string, watchdogPath: string, whenAccepted?: () => void, endProcess?: (code: number) => void, watchdogDelayMs?: number }} AgentDeps */

/**
 * The parts of one agent, wired. The process's own hooks (output, exit, uncaught errors) are taken by `hook` and given
 * back by `unhook`.
 * @param {AgentDeps} deps
 */
export function createAgent({
  config,
  held,
  terminationPath,
  watchdogPath,
  whenAccepted = () => {},
  endProcess,
  watchdogDelayMs = WATCHDOG_DELAY_MS,
}) {
  const lifecycle = new Lifecycle((state) => watchdog.showState(state));
  const watchdog = new Watchdog({
    socketPath: watchdogPath,
    terminationPath,
    epoch: lifecycle.epoch,
    diesWithParent: config.hasLifeline,
  });
  const logs = new LogRing(config.logBytes);
  const capture = new LogCapture(logs);
  const guard = new BlockGuard();
  const answers = new OpenAnswers();
  const termination = new TerminationFile(terminationPath);
  const app = new HttpApp(() => {
    if (lifecycle.isServing()) lifecycle.moveTo(app.inFlight > 0 ? 'busy' : 'ready');
    lifecycle.touch();
  });

  /** @type {import('./invocations.mjs').InvocationDeps['discard']} */
  const discard = (...reason) => ending.discard(...reason);
  const invocations = new Invocations({ lifecycle, logs, capture, guard, watchdog, discard });
  const invokeRoute = new InvokeRoute(invocations);
  const served = http.createServer((request, response) => void invokeRoute.serve(request, response));
  served.keepAliveTimeout = SERVED_KEEP_ALIVE_MS;

  const trap = new ExitTrap(
    (call) => {
      if (loader.fail(call)) return;
      const code = call.exitCode;
      if (lifecycle.state === 'draining' && invocations.inFlight === 0) return trap.endProcess(code);
      discard('Exited', `the function called process.exit(${code})`, invocations.runningId);
    },
    (thrown) => {
      const what = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
      process.stderr.write(`${(thrown instanceof Error && thrown.stack) || what}\n`);
      if (!loader.fail(thrown)) discard('Crashed', `an error was not caught: ${what}`, invocations.runningId);
    },
  );
  const ending = new Ending({
    lifecycle,
    termination,
    answers,
    endProcess: endProcess ?? ((code) => trap.endProcess(code)),
    failRequests: (message) => invocations.failAll(message),
    whenIdle: () => (loader.accepted?.kind === 'http' ? app.whenClosed() : invocations.whenIdle()),
  });
  const loader = new Loader({
    config,
    held,
    lifecycle,
    guard,
    app,
    invocations,
    listen: () => listenOn(served, config),
    watchApp: () => app.countTraffic(general),
    whenAccepted,
    whenReady: () => watchdog.startLater(watchdogDelayMs),
    discard,
  });
  const routes = new Routes({ config, lifecycle, loader, invocations, app, invokeRoute, logs, ending });
  const general = http.createServer((request, response) => void routes.serve(request, response));
  // the host-agent opens its connection before it has anything to send, and keeps it
  Object.assign(general, { keepAliveTimeout: 0, headersTimeout: 0, requestTimeout: 0 });
  answers.track(general);
  const control = new ControlServer({ answer: (request) => routes.answer(request), general, answers });
  answers.track(served);
  return {
    lifecycle,
    control,
    served,
    ending,
    loader,
    hook: () => {
      capture.install();
      trap.install();
    },
    unhook: () => {
      capture.uninstall();
      trap.uninstall();
    },
    dispose: () => {
      watchdog.cancelStart();
      control.close();
      served.close();
      served.closeAllConnections();
    },
  };
}

/** @param {import('node:http').Server} server @param {{ host: string, port: number }} address @returns {Promise<void>} */
function listenOn(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new AgentError('ListenFailed', `the function cannot be served on ${host}:${port}: ${error.message}`, {
          phase: 'listen',
        }),
      );
    });
    server.listen({ host, port }, resolve);
  });
}
