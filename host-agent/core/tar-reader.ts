import { hostError } from '../errors.ts';
import type { PathLimits } from './entry-path.ts';
import { parseEntryPath } from './entry-path.ts';
import type { TarHeader } from './tar-header.ts';
import { BLOCK_BYTES, decodeName, isZeroBlock, parsePaxRecords, parseTarHeader } from './tar-header.ts';
import type { TreeSink } from './tree-sink.ts';

const MAX_META_BYTES = 64 * 1024;

export interface TarLimits extends PathLimits {
  maxEntries: number;
}

type State =
  | { at: 'header' }
  | { at: 'file'; left: number; padding: number }
  | { at: 'meta'; type: string; left: number; padding: number; parts: Buffer[] }
  | { at: 'padding'; left: number }
  | { at: 'end' };

/**
 * A push parser for ustar, pax and GNU tar: takes chunks of any size and calls the sink as it goes, without a copy of file contents.
 * Streams and a promise for each file cost eight times as much.
 */
export class TarReader {
  readonly #sink: TreeSink;
  readonly #limits: TarLimits;
  readonly #header = Buffer.alloc(BLOCK_BYTES);
  #headerBytes = 0;
  #state: State = { at: 'header' };
  #headerCount = 0;
  /** From pax and GNU headers, for the entry that follows them. */
  #pending: { name?: string; linkName?: string; sizeBytes?: number } = {};

  constructor(sink: TreeSink, limits: TarLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  push(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.length) position += this.#take(chunk.subarray(position));
  }

  /** Must be called after the last chunk; refuses an archive that stops before its end marker. */
  finish(): void {
    if (this.#state.at !== 'end') throw hostError.badArchive('is truncated: it ends before its end marker');
  }

  /** Returns how many bytes it used: at least one. */
  #take(bytes: Buffer): number {
    const state = this.#state;
    switch (state.at) {
      case 'header': {
        const used = bytes.copy(this.#header, this.#headerBytes, 0, BLOCK_BYTES - this.#headerBytes);
        this.#headerBytes += used;
        if (this.#headerBytes === BLOCK_BYTES) {
          this.#headerBytes = 0;
          this.#readHeader(this.#header);
        }
        return used;
      }
      case 'file': {
        const part = bytes.subarray(0, state.left);
        this.#sink.write(part);
        state.left -= part.length;
        if (state.left === 0) {
          this.#sink.endFile();
          this.#skip(state.padding);
        }
        return part.length;
      }
      case 'meta': {
        const part = bytes.subarray(0, state.left);
        state.parts.push(Buffer.from(part));
        state.left -= part.length;
        if (state.left === 0) {
          this.#readMeta(state.type, Buffer.concat(state.parts));
          this.#skip(state.padding);
        }
        return part.length;
      }
      case 'padding': {
        const used = Math.min(state.left, bytes.length);
        state.left -= used;
        if (state.left === 0) this.#state = { at: 'header' };
        return used;
      }
      case 'end':
        if (!isZeroBlock(bytes)) throw hostError.badArchive('has data after its end marker');
        return bytes.length;
    }
  }

  #skip(padding: number): void {
    this.#state = padding === 0 ? { at: 'header' } : { at: 'padding', left: padding };
  }

  #readHeader(block: Buffer): void {
    if (isZeroBlock(block)) {
      this.#state = { at: 'end' };
      return;
    }
    if (++this.#headerCount > this.#limits.maxEntries) {
      throw hostError.archiveTooLarge(`has more than ${this.#limits.maxEntries} entries`);
    }
    const header = parseTarHeader(block);
    if (header.type === 'x' || header.type === 'g' || header.type === 'L' || header.type === 'K') {
      this.#beginMeta(header);
      return;
    }
    Object.assign(header, this.#pending);
    this.#pending = {};
    this.#entry(header);
  }

  #entry(header: TarHeader): void {
    const { name, type, sizeBytes } = header;
    const path = parseEntryPath(name, this.#limits);
    const isDirectory = type === '5' || (type === '0' && name.endsWith('/'));
    if (sizeBytes !== 0 && (isDirectory || type === '1' || type === '2')) {
      throw hostError.badEntry(name, 'has contents although it is a folder or a link');
    }
    if (isDirectory) return this.#sink.directory(path);
    if (path.length === 0) throw hostError.badEntry(name, 'takes the place of the archive itself');
    switch (type) {
      case '0':
        return this.#file(header, path);
      case '1':
        return this.#sink.hardlink(path, parseEntryPath(header.linkName, this.#limits));
      case '2':
        return this.#sink.symlink(path, header.linkName);
      case '3':
      case '4':
        throw hostError.badEntry(name, 'is a device');
      case '6':
        throw hostError.badEntry(name, 'is a FIFO');
      case 'S':
        throw hostError.badEntry(name, 'is a sparse file, which is not supported');
      default:
        throw hostError.badEntry(name, `is of the unsupported type ${JSON.stringify(type)}`);
    }
  }

  #file({ sizeBytes, isExecutable }: TarHeader, path: string[]): void {
    this.#sink.beginFile(path, sizeBytes, isExecutable);
    if (sizeBytes === 0) return this.#sink.endFile();
    this.#state = { at: 'file', left: sizeBytes, padding: paddingOf(sizeBytes) };
  }

  #beginMeta({ name, type, sizeBytes }: TarHeader): void {
    if (sizeBytes > MAX_META_BYTES || sizeBytes === 0) {
      throw hostError.badEntry(name, `is a header of ${sizeBytes} bytes; at most ${MAX_META_BYTES} are allowed`);
    }
    this.#state = { at: 'meta', type, left: sizeBytes, padding: paddingOf(sizeBytes), parts: [] };
  }

  #readMeta(type: string, data: Buffer): void {
    if (type === 'L' || type === 'K') {
      const nul = data.indexOf(0);
      const text = decodeName(nul === -1 ? data : data.subarray(0, nul));
      if (type === 'L') this.#pending.name = text;
      else this.#pending.linkName = text;
      return;
    }
    const records = parsePaxRecords(data);
    if ([...records.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
      throw hostError.badEntry(records.get('path') ?? '', 'is a sparse file, which is not supported');
    }
    const [name, linkName, size] = ['path', 'linkpath', 'size'].map((key) => records.get(key));
    if (type === 'g') {
      if (name ?? linkName ?? size) throw hostError.badArchive('has a global header that names or sizes every entry');
      return;
    }
    if (name !== undefined) this.#pending.name = name;
    if (linkName !== undefined) this.#pending.linkName = linkName;
    if (size !== undefined) {
      if (!/^[0-9]{1,15}$/.test(size)) throw hostError.badArchive('has a pax header with an invalid size');
      this.#pending.sizeBytes = Number(size);
    }
  }
}

function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
