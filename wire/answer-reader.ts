import { joined, type JsonAnswer } from './json-client.ts';
import { HEAD_END, HEAD_LIMIT_BYTES } from './plain-head.ts';

export interface HttpAnswer extends JsonAnswer {
  /** Whether the connection may carry another exchange. */
  isReusable: boolean;
  /** How long the server says that it keeps an idle connection. */
  keptForMs: number | undefined;
}

/** What came is not an answer in HTTP/1.1, or is larger than anything that is expected here. */
export class BadAnswer extends Error {
  override readonly name = 'BadAnswer';
}

interface Head {
  statusCode: number;
  framing: { kind: 'length'; bytes: number } | { kind: 'chunked' } | { kind: 'until-end' };
  staysOpen: boolean;
  keptForMs: number | undefined;
}

const BODY_LIMIT_BYTES = 64 * 1024 * 1024;
const LINE_LIMIT_BYTES = 1024;
const LINE_END = '\r\n';
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: .*)?$/;
const HEADER = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/;
const NOTHING = Buffer.alloc(0);

/** Reads one answer to a GET, POST or DELETE from the pieces in which it arrives (RFC 9112). */
export class AnswerReader {
  /** What has come and was not read yet. */
  #rest: Buffer = NOTHING;
  #head: Head | undefined;
  #body: Buffer[] = [];
  #bodyBytes = 0;
  /** Of a chunked body: what comes next, and how much of it. */
  #part: 'size' | 'data' | 'data-end' | 'trailer' = 'size';
  #chunkBytes = 0;

  /** `undefined`: more is to come. Throws {@link BadAnswer}. */
  push(chunk: Buffer): HttpAnswer | undefined {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#head ??= this.#readHead();
    return this.#head !== undefined && this.#readBody(this.#head) ? this.#answer(this.#head) : undefined;
  }

  /** The connection has ended: that completes an answer whose end nothing else told. */
  end(): HttpAnswer | undefined {
    return this.#head?.framing.kind === 'until-end' ? this.#answer(this.#head) : undefined;
  }

  #answer({ statusCode, staysOpen, keptForMs }: Head): HttpAnswer {
    // what follows an answer belongs to no request
    const isReusable = staysOpen && this.#rest.length === 0;
    return { statusCode, text: joined(this.#body).toString('utf8'), isReusable, keptForMs };
  }

  /** Skips interim answers (1xx). */
  #readHead(): Head | undefined {
    for (;;) {
      const end = this.#rest.indexOf(HEAD_END);
      if (end > HEAD_LIMIT_BYTES || (end < 0 && this.#rest.length > HEAD_LIMIT_BYTES))
        throw new BadAnswer(`the head of the answer is longer than ${HEAD_LIMIT_BYTES} bytes`);
      if (end < 0) return undefined;
      const head = parseHead(this.#rest.toString('latin1', 0, end));
      this.#rest = this.#rest.subarray(end + HEAD_END.length);
      if (head.statusCode >= 200) return head;
      if (head.statusCode === 101) throw new BadAnswer('the connection was switched to another protocol unasked');
    }
  }

  /** Whether the body is complete. */
  #readBody({ framing }: Head): boolean {
    switch (framing.kind) {
      case 'length':
        this.#take(framing.bytes - this.#bodyBytes);
        return this.#bodyBytes === framing.bytes;
      case 'chunked':
        return this.#readChunks();
      case 'until-end':
        this.#take(this.#rest.length);
        return false;
    }
  }

  #readChunks(): boolean {
    for (;;) {
      if (this.#part === 'data') {
        this.#chunkBytes -= this.#take(this.#chunkBytes);
        if (this.#chunkBytes > 0) return false;
        this.#part = 'data-end';
      }
      const line = this.#takeLine();
      if (line === undefined) return false;
      if (this.#part === 'trailer') {
        if (line === '') return true;
      } else if (this.#part === 'data-end') {
        if (line !== '') throw new BadAnswer('a chunk of the answer is longer than it said');
        this.#part = 'size';
      } else {
        const [, digits] = /^([\da-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line) ?? [];
        if (digits === undefined) throw new BadAnswer('a chunk of the answer has no size');
        this.#chunkBytes = Number.parseInt(digits, 16);
        this.#part = this.#chunkBytes === 0 ? 'trailer' : 'data';
      }
    }
  }

  #takeLine(): string | undefined {
    const end = this.#rest.indexOf(LINE_END);
    if (end > LINE_LIMIT_BYTES || (end < 0 && this.#rest.length > LINE_LIMIT_BYTES))
      throw new BadAnswer(`a line between the chunks of the answer is longer than ${LINE_LIMIT_BYTES} bytes`);
    if (end < 0) return undefined;
    const line = this.#rest.toString('latin1', 0, end);
    this.#rest = this.#rest.subarray(end + LINE_END.length);
    return line;
  }

  /** Moves up to so many bytes into the body; gives how many there were. */
  #take(limitBytes: number): number {
    const bytes = Math.min(limitBytes, this.#rest.length);
    if (this.#bodyBytes + bytes > BODY_LIMIT_BYTES)
      throw new BadAnswer(`the answer is longer than ${BODY_LIMIT_BYTES} bytes`);
    if (bytes > 0) this.#body.push(this.#rest.subarray(0, bytes));
    this.#rest = this.#rest.subarray(bytes);
    this.#bodyBytes += bytes;
    return bytes;
  }
}

function parseHead(text: string): Head {
  const [statusLine = '', ...lines] = text.split(LINE_END);
  const [, minor, digits] = STATUS_LINE.exec(statusLine) ?? [];
  if (digits === undefined) throw new BadAnswer(`the answer begins with ${JSON.stringify(statusLine.slice(0, 80))}`);
  const statusCode = Number(digits);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ''] = HEADER.exec(line) ?? [];
    if (name === undefined) throw new BadAnswer(`the answer has the header line ${JSON.stringify(line.slice(0, 80))}`);
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  const framing = framingOf(statusCode, headers);
  const connection = headers.get('connection')?.toLowerCase() ?? '';
  const mayStayOpen = minor === '1' ? !/\bclose\b/.test(connection) : /\bkeep-alive\b/.test(connection);
  const seconds = /\btimeout=(\d{1,6})\b/.exec(headers.get('keep-alive') ?? '')?.[1];
  return {
    statusCode,
    framing,
    staysOpen: mayStayOpen && framing.kind !== 'until-end',
    keptForMs: seconds === undefined ? undefined : Number(seconds) * 1000,
  };
}

function framingOf(statusCode: number, headers: ReadonlyMap<string, string>): Head['framing'] {
  const encoding = headers.get('transfer-encoding')?.toLowerCase();
  const length = headers.get('content-length');
  if (statusCode < 200 || statusCode === 204 || statusCode === 304) return { kind: 'length', bytes: 0 };
  if (encoding !== undefined) {
    if (encoding !== 'chunked' || length !== undefined)
      throw new BadAnswer('nobody can tell where the answer ends: see its Transfer-Encoding and Content-Length');
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'until-end' };
  if (!/^\d{1,10}$/.test(length)) throw new BadAnswer(`the answer has the Content-Length ${JSON.stringify(length)}`);
  const bytes = Number(length);
  if (bytes > BODY_LIMIT_BYTES) throw new BadAnswer(`the answer is longer than ${BODY_LIMIT_BYTES} bytes`);
  return { kind: 'length', bytes };
}
