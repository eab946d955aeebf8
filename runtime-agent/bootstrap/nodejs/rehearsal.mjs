import { http } from './builtins.mjs';
import { Module, createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createAgent } from './agent.mjs';
import { rememberIdentity } from './identity.mjs';

/** @import { Config } from './config.mjs' */

const CODE_FOLDER = fileURLToPath(new URL('rehearsal', import.meta.url));
const INVOKES = 4;

/**
 * Loads and invokes throw-away modules through agents of their own, over a real socket, so that the one real load finds every
 * line of its way compiled and warm; then puts the process back as it was.
 * @param {Config} config
 */
export async function rehearse(config) {
  const restore = rememberIdentity();
  const restoreOutput = silenceOutput();
  try {
    // once each: more makes functions of the loader so hot that V8 begins to optimise them in the middle of the real load
    await rehearseModule(config, 'throw-away.cjs');
    await rehearseModule(config, 'throw-away.mjs');
  } finally {
    restoreOutput();
    restore();
    forgetModules();
  }
}

/** @param {Config} config @param {string} fileName */
async function rehearseModule(config, fileName) {
  const folder = path.dirname(config.socketPath);
  const socketPath = `${config.socketPath}.rehearsal`;
  const agent = createAgent({
    config: { ...config, host: '127.0.0.1', port: 0 },
    terminationPath: path.join(folder, 'rehearsal.json'),
    watchdogPath: path.join(folder, 'rehearsal.sock'),
    endProcess: () => {},
    // never: on a slow machine it would come up during the rehearsal, and leave its socket behind
    watchdogDelayMs: 2 ** 31 - 1,
  });
  const connection = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.hook();
  try {
    await agent.control.listen(socketPath);
    agent.lifecycle.moveTo('standby');
    /** @param {string} route @param {unknown} body */
    const post = (route, body) => postJson(connection, socketPath, route, body);
    await post('/v1/load', {});
    const loaded = await post('/v1/load', {
      claimId: 'rehearsal',
      fence: 0,
      function: { name: 'rehearsal', version: '1', tenant: 'rehearsal' },
      runtime: config.runtime,
      kind: 'handler',
      handler: `${path.parse(fileName).name}.handler`,
      code: { path: path.join(CODE_FOLDER, path.extname(fileName).slice(1)), digest: `sha256:${'0'.repeat(64)}` },
      env: { REHEARSAL: '1', TZ: 'UTC' },
      service: {},
      limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000 },
    });
    if (loaded !== 200) throw new Error(`the rehearsal of ${fileName} was answered with ${loaded}`);
    for (let index = 0; index < INVOKES; index++) await post('/v1/invoke', { index });
    await post('/v1/invoke', { fails: true });
  } finally {
    agent.unhook();
    agent.dispose();
    connection.destroy();
  }
}

/** Below the log capture of the rehearsed agents, so that what they pass on goes nowhere. */
function silenceOutput() {
  const streams = [process.stdout, process.stderr];
  const writes = streams.map((stream) => Object.getOwnPropertyDescriptor(stream, 'write'));
  for (const stream of streams) stream.write = () => true;
  return () => {
    for (const [index, stream] of streams.entries()) {
      const own = writes[index];
      if (own === undefined) Reflect.deleteProperty(stream, 'write');
      else Object.defineProperty(stream, 'write', own);
    }
  };
}

function forgetModules() {
  const require = createRequire(import.meta.url);
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(CODE_FOLDER)) delete require.cache[file];
  }
  const { _pathCache: paths } = /** @type {{ _pathCache: Record<string, string> }} */ (/** @type {unknown} */ (Module));
  for (const [key, file] of Object.entries(paths)) {
    if (file.startsWith(CODE_FOLDER)) delete paths[key];
  }
}

/**
 * @param {import('node:http').Agent} agent @param {string} socketPath @param {string} route @param {unknown} body
 * @returns {Promise<number>} the status
 */
function postJson(agent, socketPath, route, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const request = http.request({ agent, socketPath, path: route, method: 'POST', headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('error', reject);
    request.end(JSON.stringify(body));
  });
}
