import { Object, String } from './globals.mjs';

/**
 * Binding a process that belonged to nobody to one claim: environment, working directory, program arguments.
 *
 * @import { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 */

/** As ENV_ALLOW_LIST of protocol/runtime-agent-api.ts; a unit test compares them. */
export const KEPT_ENV_NAMES = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL'];

/**
 * @param {LoadRequest['env']} claimEnv @param {NodeJS.ProcessEnv} containerEnv @param {number} port
 * @returns {Record<string, string>}
 */
export function environmentOf(claimEnv, containerEnv, port) {
  /** @type {Record<string, string>} */
  const env = {};
  for (const name of KEPT_ENV_NAMES) {
    const value = containerEnv[name];
    if (value !== undefined) env[name] = value;
  }
  return { ...env, ...claimEnv, PORT: String(port) };
}

/**
 * Puts `env` in the place of the process's whole environment. The object stays the same one: Node writes through it to the
 * process, so child processes and native code see the change, and a new `TZ` is in effect at once.
 * @param {Record<string, string | undefined>} env
 */
export function replaceEnvironment(env) {
  for (const name of Object.keys(process.env)) {
    if (!(name in env)) delete process.env[name];
  }
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && process.env[name] !== value) process.env[name] = value;
  }
}

/** What a load changes in the process, so that a rehearsal can put it back. */
export function rememberIdentity() {
  const env = { ...process.env };
  const cwd = process.cwd();
  const argv = process.argv.slice();
  const { mainModule } = process;
  return () => {
    replaceEnvironment(env);
    process.chdir(cwd);
    process.argv.splice(0, process.argv.length, ...argv);
    if (mainModule === undefined) delete process.mainModule;
  };
}
