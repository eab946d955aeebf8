import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';

/** A watch that is passing through the proxy, byte by byte as the apiserver sends it. */
export class OpenWatch {
  readonly #response: ServerResponse;
  #isStalled = false;

  constructor(upstream: Readable, response: ServerResponse) {
    this.#response = response;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    upstream.on('data', (chunk: Buffer) => {
      if (!this.#isStalled) response.write(chunk);
    });
    upstream.on('end', () => {
      if (!this.#isStalled) response.end();
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
  }

  onClose(listener: () => void): void {
    this.#response.once('close', listener);
  }

  /** What comes from now on is lost; the connection stays open. */
  stall(): void {
    this.#isStalled = true;
  }

  reset(): void {
    this.#response.socket?.resetAndDestroy();
  }

  /** As an apiserver does when its time is over. */
  end(): void {
    this.#isStalled = true;
    this.#response.end();
  }

  /** The connection goes in the middle of an event. */
  cutInsideAnEvent(): void {
    this.#isStalled = true;
    this.#response.write('{"type":"MODIFIED","object":{"kind":"Pod","meta', () => this.reset());
  }

  /** As an apiserver does when the watch has fallen behind. */
  expire(): void {
    this.#isStalled = true;
    const status = {
      kind: 'Status',
      apiVersion: 'v1',
      code: 410,
      reason: 'Expired',
      message: 'too old resource version',
    };
    this.#response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
  }
}
