import { realpathSync, renameSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { createAgent } from './agent.mjs';
import { ConfigError, takeConfig } from './config.mjs';
import { collectNow, pauseIdleCollection, resumeIdleCollection } from './idle-collection.mjs';
import { rehearse } from './rehearsal.mjs';
import { writeTermination } from './termination.mjs';

/** The Node runtime: agent and interpreter in one process. docs/runtime-contract.md says what it does. */

const DRAIN_MS = 10_000;
/** As POD_CODE_FOLDER of protocol/names.ts: beside the socket. */
const CODE_FOLDER = 'code';

try {
  await boot(takeConfig(process.env));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(2);
}

/** @param {import('./config.mjs').Config} config */
async function boot(config) {
  const folder = path.dirname(config.socketPath);
  const terminationPath = path.join(folder, 'termination.json');
  if (config.hasLifeline) holdLifeline();
  ignoreBrokenOutput();
  try {
    const held = await preImport(config);
    if (config.rehearses) await rehearse(config);
    const watchdogPath = path.join(folder, 'watchdog.sock');
    const agent = createAgent({ config, held, terminationPath, watchdogPath, whenAccepted: resumeIdleCollection });
    process.on('SIGTERM', () => endOnSignal('SIGTERM'));
    process.on('SIGINT', () => endOnSignal('SIGINT'));
    /** @param {string} signal */
    const endOnSignal = (signal) => {
      if (agent.lifecycle.isEnding()) process.kill(process.pid, 'SIGKILL');
      void agent.ending.drain(DRAIN_MS, signal);
    };
    // the socket must not be seen before it is complete
    const hidden = `${config.socketPath}.booting`;
    rmSync(hidden, { force: true });
    await agent.control.listen(hidden);
    agent.hook();
    held?.becomeReady();
    process.argv.splice(1);
    pauseIdleCollection();
    agent.lifecycle.moveTo('standby');
    renameSync(hidden, config.socketPath);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    writeTermination(terminationPath, 'BootFailed', message);
    process.stderr.write(`the runtime did not boot: ${message}\n`);
    process.exit(1);
  }
}

/** Whoever started this process is gone when its end of stdin is. */
function holdLifeline() {
  process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL'));
  process.stdin.on('error', () => process.kill(process.pid, 'SIGKILL'));
  process.stdin.resume();
}

/** A reader of the logs that went away must not end the function. */
function ignoreBrokenOutput() {
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
}

/** @param {import('./config.mjs').Config} config */
async function preImport({ preImport: names, preImportFolder, socketPath, settings }) {
  const packages = names.filter((name) => !isBuiltin(name));
  for (const name of names) if (isBuiltin(name)) await import(name);
  if (packages.length === 0) return undefined;
  const start = { folder: process.cwd(), env: { ...process.env, ...settings } };
  const { preImport: run } = await import('./held/pre-import.mjs');
  const folders = {
    poolFolder: realpathSync(preImportFolder),
    codeFolder: path.join(realpathSync(path.dirname(socketPath)), CODE_FOLDER),
  };
  const result = await run(packages, folders);
  if ('refused' in result) {
    const { name, reason } = result.refused;
    tellLeft(name, reason);
    const others = names.filter((each) => each !== name);
    return startAnew(start.folder, { ...start.env, WARMPOOL_PRE_IMPORT: others.join(',') });
  }
  for (const [name, reason] of result.left) tellLeft(name, reason);
  collectNow();
  return result.held;
}

/** @param {string} name @param {string} reason */
function tellLeft(name, reason) {
  process.stderr.write(`WARMPOOL_PRE_IMPORT: ${name} is left to the functions: ${reason}\n`);
}

/**
 * The same process from its first instruction: what a package did to it is gone.
 * @param {string} folder @param {NodeJS.ProcessEnv} env
 * @returns {never}
 */
function startAnew(folder, env) {
  process.chdir(folder);
  // that it is experimental
  process.emitWarning = () => {};
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], env);
  throw new Error('the process cannot be started anew');
}
