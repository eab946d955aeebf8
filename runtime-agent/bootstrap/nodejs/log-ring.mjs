import { Buffer, Date, Map } from './globals.mjs';

/** @typedef {{ seq: number, timeUnixMs: number, stream: 'stdout' | 'stderr', requestId?: string, text: string }} LogLine */

const LINE_LIMIT_BYTES = 16 * 1024;
/** What a line costs besides its text, so that empty lines cannot fill the memory. */
const LINE_OVERHEAD_BYTES = 64;

/** The newest log lines of this process, bounded by their bytes. */
export class LogRing {
  /** @type {{ line: LogLine, costBytes: number }[]} */
  #entries = [];
  #head = 0;
  #usedBytes = 0;
  #seq = 0;
  #truncated = false;
  /** Text after the last newline, by stream and request. @type {Map<string, string>} */
  #partial = new Map();
  #limitBytes;

  /** @param {number} limitBytes */
  constructor(limitBytes) {
    this.#limitBytes = limitBytes;
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} text @param {string | undefined} requestId */
  write(stream, text, requestId) {
    const key = `${stream} ${requestId ?? ''}`;
    const lines = ((this.#partial.get(key) ?? '') + text).split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) this.#add(stream, line, requestId);
    // one character too many is kept, so that the cut is noticed when the line ends
    if (rest === '') this.#partial.delete(key);
    else this.#partial.set(key, rest.slice(0, LINE_LIMIT_BYTES + 1));
  }

  /** A request is over: what it wrote without a newline is a line. @param {string} requestId */
  flush(requestId) {
    for (const stream of /** @type {const} */ (['stdout', 'stderr'])) {
      const key = `${stream} ${requestId}`;
      const rest = this.#partial.get(key);
      if (rest === undefined) continue;
      this.#partial.delete(key);
      this.#add(stream, rest, requestId);
    }
  }

  /** @param {{ requestId?: string | undefined, limitBytes?: number | undefined }} query */
  read({ requestId, limitBytes = Infinity }) {
    /** @type {LogLine[]} */
    const lines = [];
    let truncated = this.#truncated;
    let sizeBytes = 0;
    for (let index = this.#entries.length - 1; index >= this.#head; index--) {
      const { line } = /** @type {{ line: LogLine }} */ (this.#entries[index]);
      if (requestId !== undefined && line.requestId !== requestId) continue;
      sizeBytes += Buffer.byteLength(line.text);
      if (sizeBytes > limitBytes) {
        truncated = true;
        break;
      }
      lines.push(line);
    }
    return { lines: lines.toReversed(), truncated };
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} whole @param {string | undefined} requestId */
  #add(stream, whole, requestId) {
    let text = whole;
    if (Buffer.byteLength(text) > LINE_LIMIT_BYTES) {
      text = `${Buffer.from(text)
        .subarray(0, LINE_LIMIT_BYTES)
        .toString('utf8')
        .replace(/\uFFFD+$/, '')}…`;
      this.#truncated = true;
    }
    const costBytes = Buffer.byteLength(text) + LINE_OVERHEAD_BYTES;
    const line = {
      seq: ++this.#seq,
      timeUnixMs: Date.now(),
      stream,
      ...(requestId === undefined ? {} : { requestId }),
      text,
    };
    this.#entries.push({ line, costBytes });
    this.#usedBytes += costBytes;
    while (this.#usedBytes > this.#limitBytes && this.#head < this.#entries.length) {
      this.#usedBytes -= this.#entries[this.#head++]?.costBytes ?? 0;
      this.#truncated = true;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}
