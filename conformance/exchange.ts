import http from 'node:http';
import net from 'node:net';

/** What came back. */
export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  bytes: Buffer;
  /** The body parsed, or undefined when it is not JSON. */
  body: unknown;
}

export type Address = { socketPath: string } | { host: string; port: number };

export interface Outgoing {
  method?: string;
  path: string;
  /** An object is sent as JSON, text and bytes as they are. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Default: a connection of its own. */
  connection?: http.Agent;
  /** Called with each piece of the answer's body as it comes. */
  onPiece?: (piece: Buffer) => void;
}

const ANSWER_TIMEOUT_MS = 20_000;
const BODY_SHOWN_CHARACTERS = 500;

/** What was sent and what came, for the report of a failed case. */
export class Trail {
  readonly lines: string[] = [];

  note(line: string): void {
    this.lines.push(line);
  }
}

/** Rejects when the connection ends without a whole answer. */
export async function exchange(address: Address, outgoing: Outgoing, trail: Trail): Promise<Answer> {
  const { method = 'POST', path, headers = {} } = outgoing;
  const shownHeaders = Object.entries(headers).map(([name, value]) => ` ${name}: ${value};`);
  trail.note(`> ${method} ${path}${shownHeaders.join('')} ${shown(outgoing.body)}`.trimEnd());
  try {
    const answer = await sent(address, outgoing);
    trail.note(`< ${answer.status} to ${method} ${path} ${shown(answer.bytes)}`.trimEnd());
    return answer;
  } catch (error) {
    trail.note(`< no answer to ${method} ${path}: ${(error as Error).message}`);
    throw error;
  }
}

function sent(address: Address, outgoing: Outgoing): Promise<Answer> {
  const { method = 'POST', path, body, headers = {}, connection, onPiece } = outgoing;
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const payload = body === undefined || isRaw ? body : JSON.stringify(body);
  const contentType = body === undefined || isRaw ? {} : { 'content-type': 'application/json' };
  const length = payload === undefined ? {} : { 'content-length': Buffer.byteLength(payload) };
  return new Promise((resolve, reject) => {
    const options = {
      ...address,
      agent: connection ?? false,
      method,
      path,
      headers: { ...contentType, ...length, ...headers },
    };
    const request = http.request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        onPiece?.(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, body: parsed(bytes) });
      });
    });
    request.setTimeout(ANSWER_TIMEOUT_MS, () =>
      request.destroy(new Error(`nothing came within ${ANSWER_TIMEOUT_MS} ms`)),
    );
    request.on('error', reject);
    request.end(payload);
  });
}

const RAW_TIMEOUT_MS = 5_000;

/** Writes bytes as they are and gives all that came until the other side closed, or until nothing came for some time. */
export function rawExchange(
  address: Address,
  pieces: string[],
  trail: Trail,
  options = { quietMs: 400 },
): Promise<string> {
  trail.note(`> (bytes) ${shown(pieces.join(''))}`);
  return new Promise((resolve, reject) => {
    const socket = net.connect('socketPath' in address ? { path: address.socketPath } : address);
    let received = '';
    let quiet: NodeJS.Timeout | undefined;
    const done = (): void => {
      clearTimeout(quiet);
      clearTimeout(late);
      socket.destroy();
      trail.note(`< (bytes) ${shown(received)}`);
      resolve(received);
    };
    const late = setTimeout(done, RAW_TIMEOUT_MS);
    socket.once('connect', () => {
      for (const piece of pieces) socket.write(piece);
    });
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      clearTimeout(quiet);
      quiet = setTimeout(done, options.quietMs);
    });
    socket.once('close', done);
    socket.once('error', (error) => (received === '' && socket.connecting ? reject(error) : done()));
  });
}

function shown(body: unknown): string {
  if (body === undefined) return '';
  const text =
    body instanceof Uint8Array
      ? Buffer.from(body).toString('utf8')
      : typeof body === 'string'
        ? body
        : JSON.stringify(body);
  return text.length > BODY_SHOWN_CHARACTERS
    ? `${text.slice(0, BODY_SHOWN_CHARACTERS)}… (${text.length} characters)`
    : text;
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
