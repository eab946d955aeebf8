/**
 * @typedef {object} Config
 * @property {string} socketPath
 * @property {string} host
 * @property {number} port
 * @property {{ name: string, version: string }} runtime
 * @property {string[]} preImport
 * @property {string} preImportFolder has the `node_modules` that `preImport` is found in
 * @property {boolean} rehearses
 * @property {boolean} hasLifeline
 * @property {number} logBytes
 * @property {Readonly<Record<string, string>>} settings as they were found
 */

const DEFAULT_LOG_BYTES = 256 * 1024;
const SETTING_PREFIX = 'WARMPOOL_';

export class ConfigError extends Error {}

/**
 * Reads the settings and takes them out of the environment, where no user code may find them.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Config}
 */
export function takeConfig(env) {
  const settings = new Map();
  for (const name of Object.keys(env)) {
    if (!name.startsWith(SETTING_PREFIX)) continue;
    settings.set(name, env[name]);
    delete env[name];
  }
  /** @param {string} name */
  const required = (name) => {
    const value = settings.get(name);
    if (!value) throw new ConfigError(`${name} is not set`);
    return value;
  };
  /** @param {string} name @param {string} fallback @returns {boolean} */
  const flag = (name, fallback) => {
    const value = settings.get(name) ?? fallback;
    if (value !== '0' && value !== '1') throw new ConfigError(`${name} must be 0 or 1, not "${value}"`);
    return value === '1';
  };
  /** @param {string} name @param {string} text @param {number} max @returns {number} */
  const whole = (name, text, max) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > max) {
      throw new ConfigError(`${name} must be a whole number from 1 to ${max}, not "${text}"`);
    }
    return value;
  };
  return {
    socketPath: required('WARMPOOL_SOCKET'),
    host: required('WARMPOOL_HOST'),
    port: whole('WARMPOOL_PORT', required('WARMPOOL_PORT'), 65_535),
    runtime: { name: required('WARMPOOL_RUNTIME_NAME'), version: required('WARMPOOL_RUNTIME_VERSION') },
    preImport: (settings.get('WARMPOOL_PRE_IMPORT') ?? '')
      .split(',')
      .flatMap((/** @type {string} */ name) => name.trim() || []),
    preImportFolder: settings.get('WARMPOOL_PRE_IMPORT_DIR') ?? process.cwd(),
    rehearses: flag('WARMPOOL_REHEARSE', '1'),
    hasLifeline: flag('WARMPOOL_LIFELINE', '0'),
    logBytes: whole('WARMPOOL_LOG_BYTES', settings.get('WARMPOOL_LOG_BYTES') ?? String(DEFAULT_LOG_BYTES), 2 ** 30),
    settings: Object.fromEntries(settings),
  };
}
