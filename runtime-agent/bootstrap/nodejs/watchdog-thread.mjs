import { readSync, renameSync, rmSync } from 'node:fs';
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { CONTRACT_VERSION } from './contract-version.mjs';
import { writeTermination } from './termination.mjs';

/**
 * The watchdog thread: enforces the deadline that the main thread left in shared memory, and answers health and kill on a
 * socket of its own. HTTP is read by hand, since loading `node:http` once more would double what the thread costs.
 */

const TICK_MS = 200;
/** The main thread gets this long past a deadline to answer by itself; with the tick, 500 ms are never passed. */
const LEEWAY_MS = 250;
const REQUEST_LIMIT_BYTES = 16 * 1024;
const STATES = ['booting', 'standby', 'loading', 'ready', 'busy', 'draining', 'terminated', 'failed'];

const { socketPath, terminationPath, epoch, shared, pid, diesWithParent } = workerData;
const deadline = new BigInt64Array(shared, 0, 1);
const idLength = new Int32Array(shared, 8, 1);
const state = new Int32Array(shared, 12, 1);
const id = Buffer.from(shared, 16);
const ignored = Buffer.alloc(64);

setInterval(() => {
  if (diesWithParent && lifelineEnded()) process.kill(pid, 'SIGKILL');
  const deadlineUnixMs = Number(Atomics.load(deadline, 0));
  if (deadlineUnixMs === 0 || Date.now() < deadlineUnixMs + LEEWAY_MS) return;
  kill('RequestTimeout', 'the request passed its deadline and blocked the process');
}, TICK_MS);

// whoever sees the socket must get an answer on it
const hidden = `${socketPath}.booting`;
for (const file of [hidden, socketPath]) rmSync(file, { force: true });
net.createServer(serve).listen(hidden, () => {
  renameSync(hidden, socketPath);
  parentPort?.postMessage('up');
});

/** The main thread has stdin open without blocking, but does not look at it while it is blocked itself. */
function lifelineEnded() {
  try {
    return readSync(0, ignored) === 0;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN';
  }
}

/** @param {import('node:net').Socket} socket */
function serve(socket) {
  let text = '';
  socket.setTimeout(10_000, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    if (text.length > REQUEST_LIMIT_BYTES) return socket.destroy();
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = text.slice(0, headEnd);
    const bodyBytes = Number(/^content-length:\s*(\d+)\s*$/im.exec(head)?.[1] ?? 0);
    if (text.length < headEnd + 4 + bodyBytes) return;
    answer(socket, head, Buffer.from(text.slice(headEnd + 4), 'latin1').toString('utf8'));
  });
}

/** @param {import('node:net').Socket} socket @param {string} head @param {string} body */
function answer(socket, head, body) {
  const [, method = '', target = ''] = /^(\S+) (\S+)/.exec(head) ?? [];
  const path = target.split('?', 1)[0];
  if (path === '/v1/health' && method === 'GET') {
    return send(socket, '200 OK', { contract: CONTRACT_VERSION, state: STATES[Atomics.load(state, 0)], epoch });
  }
  if (path === '/v1/kill' && method === 'POST') {
    const requestId = fieldOf(body, 'requestId');
    if (requestId !== undefined && requestId !== runningId()) {
      const message = `no request ${requestId} is running here`;
      return send(socket, '404 Not Found', { statusCode: 404, code: 'RequestUnknown', error: 'Not Found', message });
    }
    const reply = requestId === undefined ? { state: 'terminated' } : { requestId, state: 'cancelled' };
    send(socket, '202 Accepted', reply, () =>
      kill('Killed', `killed while it blocked: ${fieldOf(body, 'reason') ?? ''}`),
    );
    return;
  }
  const message = `the watchdog answers GET /v1/health and POST /v1/kill, not ${method} ${path}`;
  send(socket, '404 Not Found', { statusCode: 404, code: 'RouteNotFound', error: 'Not Found', message });
}

/** @param {string} body @param {string} field @returns {string | undefined} */
function fieldOf(body, field) {
  try {
    const value = JSON.parse(body)[field];
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function runningId() {
  if (Atomics.load(deadline, 0) === 0n) return undefined;
  return id.toString('latin1', 0, idLength[0]);
}

/** @param {string} reason @param {string} message */
function kill(reason, message) {
  writeTermination(terminationPath, reason, message, runningId());
  process.kill(pid, 'SIGKILL');
}

/** @param {import('node:net').Socket} socket @param {string} status @param {unknown} reply @param {() => void} [done] */
function send(socket, status, reply, done) {
  const json = JSON.stringify(reply);
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\nconnection: close\r\n`;
  socket.end(`${head}\r\n${json}`, done);
}
