import { renameSync, rmSync } from 'node:fs';
import { createRequire, isBuiltin } from 'node:module';
import path from 'node:path';
import { createAgent } from './agent.mjs';
import { ConfigError, takeConfig } from './config.mjs';
import { rehearse } from './rehearsal.mjs';
import { writeTermination } from './termination.mjs';

/** The Node runtime: agent and interpreter in one process. docs/runtime-contract.md says what it does. */

const DRAIN_MS = 10_000;

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
    await preImport(config.preImport);
    if (config.rehearses) await rehearse(config);
    const agent = createAgent({ config, terminationPath, watchdogPath: path.join(folder, 'watchdog.sock') });
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
    process.argv.splice(1);
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

/** @param {string[]} names */
async function preImport(names) {
  const require = createRequire(path.join(process.cwd(), 'package.json'));
  for (const name of names) {
    try {
      if (isBuiltin(name)) await import(name);
      else require(name);
    } catch (error) {
      throw new Error(`WARMPOOL_PRE_IMPORT names "${name}", which cannot be imported: ${String(error)}`, {
        cause: error,
      });
    }
  }
}
