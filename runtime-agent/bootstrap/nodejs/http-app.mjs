import { channel } from 'node:diagnostics_channel';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { clearInterval, Date, Promise, setInterval } from './globals.mjs';

/** @import { AddressInfo, Server } from 'node:net' */

const POLL_MS = 20;

/**
 * Watches an app of kind `http` through Node's own diagnostics channels: where it listens, and how many requests it is
 * serving. Nothing of the app is patched.
 */
export class HttpApp {
  inFlight = 0;
  executions = 0;
  /** @type {number | undefined} */
  idleSinceUnixMs;
  /** Where the app listens that is not what was asked for. @type {string[]} */
  listensElsewhere = [];
  /** @type {(() => void)[]} */
  #onIdle = [];
  /** @type {(() => void)[]} */
  #stop = [];
  #onTraffic;

  /** @param {() => void} onTraffic called when a request begins or ends */
  constructor(onTraffic) {
    this.#onTraffic = onTraffic;
  }

  /**
   * Resolves as soon as something listens on the port.
   * @param {string} host @param {number} port @returns {Promise<void>}
   */
  listening(host, port) {
    return new Promise((resolve) => {
      const onListen = (/** @type {unknown} */ message) => {
        const address = /** @type {{ server: Server }} */ (message).server.address();
        if (address === null) return;
        if (typeof address === 'object' && address.port === port && isReachable(address, host)) resolve();
        else this.listensElsewhere.push(typeof address === 'string' ? address : inWords(address));
      };
      const listened = channel('tracing:net.server.listen:asyncEnd');
      listened.subscribe(onListen);
      // a child process or a worker thread of the app may be what listens
      const poll = setInterval(() => {
        const socket = net.connect({ host, port }, () => {
          socket.destroy();
          resolve();
        });
        socket.on('error', () => socket.destroy());
      }, POLL_MS).unref();
      this.#stop.push(() => {
        clearInterval(poll);
        listened.unsubscribe(onListen);
      });
    });
  }

  /** The wait for a listening port is over. */
  stopWaiting() {
    for (const stop of this.#stop.splice(0)) stop();
  }

  /** @param {unknown} controlServer the agent's own server, whose requests do not count */
  countTraffic(controlServer) {
    this.idleSinceUnixMs = Date.now();
    channel('http.server.request.start').subscribe((message) => {
      const { server, response } = /** @type {{ server: unknown, response: NodeJS.EventEmitter }} */ (message);
      if (server === controlServer) return;
      this.inFlight++;
      this.#onTraffic();
      response.once('close', () => {
        this.inFlight--;
        this.executions++;
        this.idleSinceUnixMs = Date.now();
        this.#onTraffic();
        if (this.inFlight === 0) for (const tell of this.#onIdle.splice(0)) tell();
      });
    });
  }

  /** Resolves when no request is under way and, if the app ends itself on SIGTERM, it no longer listens. */
  async whenClosed() {
    if (this.inFlight > 0) await new Promise((resolve) => this.#onIdle.push(() => resolve(undefined)));
    if (process.listenerCount('SIGTERM') <= 1) return;
    while (process.getActiveResourcesInfo().includes('TCPServerWrap')) await sleep(POLL_MS);
  }
}

/** Whether a server bound to `address` gets what is sent to `host`. @param {AddressInfo} address @param {string} host */
export function isReachable(address, host) {
  const isAny = (/** @type {string} */ each) => each === '0.0.0.0' || each === '::';
  if (isAny(address.address) || address.address === host) return true;
  const isLoopback = address.address === '::1' || address.address.startsWith('127.');
  if (host === 'localhost') return isLoopback;
  return isAny(host) && !isLoopback;
}

/** @param {AddressInfo} address */
function inWords(address) {
  return net.isIPv6(address.address) ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
