import { AgentError } from './errors.mjs';
import { FieldChecks, SHAPES } from './field-checks.mjs';
import { Object } from './globals.mjs';

/**
 * @import { LoadRequest, AgentKillRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 */

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
const ENV_VARIABLES = 1000;
const ENV_VALUE_CHARACTERS = 32 * 1024;
const ENV_CHARACTERS = 256 * 1024;
const SERVICE_NAME = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/;
const SERVICE_ENTRIES = 64;

/**
 * The body of `/v1/load`, or 400 with every wrong field.
 * @param {unknown} body
 * @returns {LoadRequest}
 */
export function parseLoadRequest(body) {
  const checks = new FieldChecks();
  const request = checks.object('', body, [
    'claimId',
    'fence',
    'function',
    'runtime',
    'kind',
    'handler',
    'code',
    'env',
    'service',
    'limits',
  ]);
  if (request !== undefined) {
    checks.shaped('claimId', request['claimId'], SHAPES.dnsLabel);
    checks.whole('fence', request['fence'], 0);
    const fn = checks.object('function', request['function'], ['name', 'version', 'tenant']);
    if (fn !== undefined) {
      checks.shaped('function.name', fn['name'], SHAPES.functionName);
      checks.shaped('function.version', fn['version'], SHAPES.functionVersion);
      checks.shaped('function.tenant', fn['tenant'], SHAPES.dnsLabel);
    }
    const runtime = checks.object('runtime', request['runtime'], ['name', 'version']);
    if (runtime !== undefined) {
      checks.shaped('runtime.name', runtime['name'], SHAPES.runtimeName);
      checks.shaped('runtime.version', runtime['version'], SHAPES.runtimeVersion);
    }
    checks.oneOf('kind', request['kind'], ['handler', 'http']);
    checks.shaped('handler', request['handler'], SHAPES.handler);
    const code = checks.object('code', request['code'], ['path', 'digest']);
    if (code !== undefined) {
      checks.text('code.path', code['path'], 4096, 1);
      checks.shaped('code.digest', code['digest'], SHAPES.digest);
    }
    checkEnv(checks, request['env']);
    checkService(checks, request['service']);
    const limits = checks.object('limits', request['limits'], ['requestTimeoutMs', 'initTimeoutMs', 'concurrency']);
    if (limits !== undefined) {
      checks.whole('limits.requestTimeoutMs', limits['requestTimeoutMs'], 1);
      checks.whole('limits.initTimeoutMs', limits['initTimeoutMs'], 1);
      if (limits['concurrency'] !== undefined) checks.whole('limits.concurrency', limits['concurrency'], 1, 1000);
    }
  }
  refuseProblems(checks, 'load');
  return /** @type {LoadRequest} */ (body);
}

/**
 * The body of `/v1/kill`, with its defaults.
 * @param {unknown} body
 * @returns {AgentKillRequest}
 */
export function parseKillRequest(body) {
  const checks = new FieldChecks();
  const request = checks.object('', body, ['requestId', 'mode', 'graceMs', 'reason']);
  if (request?.['requestId'] !== undefined) checks.shaped('requestId', request['requestId'], SHAPES.requestId);
  if (request?.['mode'] !== undefined) checks.oneOf('mode', request['mode'], ['graceful', 'force']);
  if (request?.['graceMs'] !== undefined) checks.whole('graceMs', request['graceMs'], 0, 60_000);
  if (request?.['reason'] !== undefined) checks.text('reason', request['reason'], 256);
  refuseProblems(checks, 'kill');
  const defaults = { mode: 'graceful', graceMs: 1_000, reason: '' };
  return /** @type {AgentKillRequest} */ ({ ...defaults, ...request });
}

/** @param {FieldChecks} checks @param {unknown} value */
function checkEnv(checks, value) {
  const env = checks.record('env', value);
  if (env === undefined) return;
  const entries = Object.entries(env);
  let characters = 0;
  for (const [name, text] of entries) {
    const field = `env.${name}`;
    if (!ENV_NAME.test(name))
      checks.refuse(field, 'this name must be of letters, digits and "_", not starting with a digit');
    checks.text(field, text, ENV_VALUE_CHARACTERS);
    if (typeof text !== 'string') continue;
    if (text.includes('\0')) checks.refuse(field, 'must not contain a NUL character');
    characters += name.length + text.length;
  }
  if (entries.length > ENV_VARIABLES) checks.refuse('env', `must not hold more than ${ENV_VARIABLES} variables`);
  if (characters > ENV_CHARACTERS) checks.refuse('env', `must not be larger than ${ENV_CHARACTERS} characters in all`);
}

/** @param {FieldChecks} checks @param {unknown} value */
function checkService(checks, value) {
  const service = checks.record('service', value);
  if (service === undefined) return;
  for (const [name, text] of Object.entries(service)) {
    const field = `service.${name}`;
    if (!SERVICE_NAME.test(name)) {
      checks.refuse(field, 'this name must be 1 to 128 letters, digits, ".", "_", "/" or "-"');
    }
    checks.text(field, text, 1024);
  }
  if (Object.keys(service).length > SERVICE_ENTRIES) {
    checks.refuse('service', `must not hold more than ${SERVICE_ENTRIES} entries`);
  }
}

/** @param {FieldChecks} checks @param {string} what */
function refuseProblems(checks, what) {
  if (checks.problems.length === 0) return;
  const words = checks.problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
  throw new AgentError('BadRequest', `the ${what} request is wrong: ${words}`, { details: checks.problems });
}
