import { createHash } from 'node:crypto';

interface ModelLine {
  seq: number;
  timeUnixMs: number;
  stream: 'stdout' | 'stderr';
  requestId?: string;
  text: string;
}

const LINE_BYTES = 16 * 1024;

/** The model's log ring. */
export class ModelLogs {
  #lines: ModelLine[] = [];
  #partial = new Map<string, string>();
  #held: (() => void)[] = [];
  #isTruncated = false;
  #seq = 0;
  #newestId: string | undefined;
  readonly #limitBytes: number;
  readonly #breaks: (rule: string) => boolean;

  constructor(limitBytes: number, breaks: (rule: string) => boolean) {
    this.#limitBytes = limitBytes;
    this.#breaks = breaks;
  }

  begin(requestId: string): void {
    this.#newestId = requestId;
  }

  write(stream: 'stdout' | 'stderr', bytes: string | Buffer, requestId: string | undefined): void {
    const id = this.#breaks('LOGS-12') ? this.#newestId : requestId;
    const key = `${stream} ${this.#breaks('LOGS-10') ? '' : id}`;
    const lines = ((this.#partial.get(key) ?? '') + bytes.toString('utf8')).split('\n');
    this.#partial.set(key, lines.pop() ?? '');
    const add = (): void => lines.forEach((line) => this.#add(stream, line, id));
    if (this.#breaks('LOGS-9') && requestId !== undefined) this.#held.push(add);
    else add();
  }

  end(requestId: string): void {
    for (const add of this.#held.splice(0)) add();
    if (this.#breaks('LOGS-10')) return;
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#partial.get(`${stream} ${requestId}`) ?? '';
      this.#partial.delete(`${stream} ${requestId}`);
      if (rest !== '') this.#add(stream, rest, requestId);
    }
  }

  read(requestId: string | undefined, limitBytes: number): { lines: ModelLine[]; truncated: boolean } {
    const isChosen = ({ requestId: id }: ModelLine): boolean =>
      requestId === undefined || id === requestId || (this.#breaks('LOGS-2') && id?.startsWith(requestId) === true);
    const chosen = this.#lines.filter(isChosen);
    const ordered = this.#breaks('LOGS-7') ? chosen : chosen.toReversed();
    const kept: ModelLine[] = [];
    let left = limitBytes;
    for (const line of ordered) {
      left -= Buffer.byteLength(line.text);
      if (left < 0) break;
      kept.push(line);
    }
    const lines = this.#breaks('LOGS-7') ? kept : kept.toReversed();
    return { lines, truncated: this.#isTruncated || lines.length < chosen.length };
  }

  #add(stream: 'stdout' | 'stderr', whole: string, requestId: string | undefined): void {
    const isLong = Buffer.byteLength(whole) > LINE_BYTES;
    const mark = this.#breaks('LOGS-5') ? '.' : '…';
    const text = isLong ? `${whole.slice(0, LINE_BYTES)}${mark}` : whole;
    this.#isTruncated ||= isLong;
    this.#seq += 1;
    const line: ModelLine = {
      seq: this.#breaks('LOGS-3') ? 1 : this.#seq,
      timeUnixMs: Date.now(),
      stream: this.#breaks('LOGS-1') ? 'stdout' : stream,
      ...(requestId !== undefined && { requestId }),
      text,
    };
    this.#lines.push(line);
    if (this.#breaks('LOGS-11') && text.includes('\uFFFD')) {
      this.#lines.push({ ...line, seq: ++this.#seq, text: createHash('md5').update(text).digest('hex') });
    }
    while (this.#lines.reduce((sum, each) => sum + each.text.length, 0) > this.#limitBytes) {
      this.#lines.shift();
      this.#isTruncated = !this.#breaks('LOGS-6');
    }
  }
}
