import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';

export interface ServedRequest {
  path: string;
  range: string | undefined;
}

/** A plain HTTP store of a test: objects by path, with ranges and ETags, and whatever `intercept` does instead. */
export class ObjectServer {
  readonly objects = new Map<string, Buffer>();
  readonly requests: ServedRequest[] = [];
  readonly server: Server;
  /** Objects that are files. */
  folder: string | undefined;
  knowsRanges = true;
  /** Answers a request itself when it returns true. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** Told the number of bytes sent of every body. */
  sentBytes = 0;

  constructor() {
    this.server = createServer((request, response) => this.#answer(request, response));
    this.server.keepAliveTimeout = 60_000;
  }

  async listen(host = '127.0.0.1'): Promise<string> {
    await once(this.server.listen(0, host), 'listening');
    return `http://${host}:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent((request.url ?? '/').split('?')[0] ?? '').slice(1);
    this.requests.push({ path, range: request.headers.range });
    if (this.intercept?.(request, response) === true) return;
    const found = this.#find(path);
    if (found === undefined) return void response.writeHead(404).end('no such object');
    const { sizeBytes, etag } = found;
    response.setHeader('accept-ranges', 'bytes').setHeader('last-modified', 'Sun, 01 Mar 2026 00:00:00 GMT');
    if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== etag) {
      return void response.writeHead(412).end();
    }
    const match = this.knowsRanges ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') : null;
    if (match === null) {
      response.writeHead(200, { 'content-length': sizeBytes, etag });
      if (request.method === 'HEAD') return void response.end();
      return this.#send(found.read(0, sizeBytes), response);
    }
    const [start, end] = [Number(match[1]), match[2] === '' ? sizeBytes : Math.min(Number(match[2]) + 1, sizeBytes)];
    if (start >= sizeBytes) return void response.writeHead(416, { 'content-range': `bytes */${sizeBytes}` }).end();
    const headers = { 'content-length': end - start, etag, 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` };
    response.writeHead(206, headers);
    this.#send(found.read(start, end), response);
  }

  #send(body: Readable, response: ServerResponse): void {
    body.on('data', (chunk: Buffer) => (this.sentBytes += chunk.length));
    body.on('error', () => response.destroy()).pipe(response);
    response.on('close', () => body.destroy());
  }

  #find(path: string): { sizeBytes: number; etag: string; read: (start: number, end: number) => Readable } | undefined {
    const bytes = this.objects.get(path);
    if (bytes !== undefined) {
      const etag = `"${bytes.length}-${bytes.subarray(0, 64).toString('hex').slice(0, 32)}"`;
      return { sizeBytes: bytes.length, etag, read: (start, end) => readableOf(bytes.subarray(start, end)) };
    }
    if (this.folder === undefined) return undefined;
    const file = join(this.folder, path);
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isFile()) return undefined;
    const etag = `"${stats.size}-${stats.mtimeMs}"`;
    const read = (start: number, end: number): Readable =>
      end === start ? Readable.from([]) : createReadStream(file, { start, end: end - 1, highWaterMark: 256 * 1024 });
    return { sizeBytes: stats.size, etag, read };
  }
}

function readableOf(bytes: Buffer): Readable {
  const pieces = function* (): Generator<Buffer, void, undefined> {
    for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
  };
  return Readable.from(pieces(), { objectMode: false });
}
