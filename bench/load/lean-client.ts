import { connect, type NetConnectOpts, type Socket } from 'node:net';

const LIMIT_MS = 120_000;

export interface LeanAnswer {
  status: number;
  text: string;
}

export interface LeanRequest {
  method: string;
  path: string;
  /** Sent as JSON. */
  body?: unknown;
}

/** HTTP/1.1 without a library: what measures a millisecond should not take part of it. One exchange after the other. */
export class LeanClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #settle: { resolve: (answer: LeanAnswer) => void; reject: (error: Error) => void } | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      const answer = completeAnswer(this.#received, false);
      if (answer !== undefined) this.#give(answer);
    });
    socket.on('end', () => {
      const answer = completeAnswer(this.#received, true);
      if (answer === undefined) this.#settle?.reject(new Error('the connection ended before the answer did'));
      else this.#give(answer);
    });
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('timeout', () => socket.destroy(new Error(`no answer within ${LIMIT_MS / 1000} s`)));
    socket.setTimeout(LIMIT_MS);
    socket.setNoDelay(true);
  }

  static open(options: NetConnectOpts): Promise<LeanClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(options, () => resolve(client));
      const client = new LeanClient(socket);
      socket.once('error', reject);
    });
  }

  send({ method, path, body }: LeanRequest): Promise<LeanAnswer> {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const type = body === undefined ? '' : 'content-type: application/json\r\n';
    const length = method === 'GET' ? '' : `content-length: ${Buffer.byteLength(payload)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#received = Buffer.alloc(0);
      this.#settle = { resolve, reject };
      this.#socket.write(`${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${type}${length}\r\n${payload}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #give(answer: LeanAnswer): void {
    this.#settle?.resolve(answer);
    this.#settle = undefined;
  }
}

function completeAnswer(bytes: Buffer, hasEnded: boolean): LeanAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = bytes.subarray(0, headEnd).toString('latin1');
  const status = Number(head.slice(9, 12));
  const body = bytes.subarray(headEnd + 4);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return body.length < Number(length) ? undefined : { status, text: body.toString('utf8') };
  const isChunked = /\r\ntransfer-encoding: *chunked/i.test(head);
  const isWhole = isChunked ? body.toString('latin1').endsWith('0\r\n\r\n') : hasEnded || status === 204;
  return isWhole ? { status, text: body.toString('utf8') } : undefined;
}
