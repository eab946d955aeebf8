import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { digestOfArtefact } from '../core/cache-key.ts';
import { GrowingFile } from './growing-file.ts';

const CHUNK_BYTES = 256 * 1024;
const NAME = /^([0-9a-f]{64})(-[0-9a-f]{32})?$/;
const MAX_EXPECTING = 256;

/** Something that peers can have, perhaps not yet all of it. */
export interface Artefact {
  sizeBytes: number | undefined;
  /** Waits for bytes that are still to come; fails when they will not come. A chunk is the reader's until it asks for the next. */
  read: (fromByte: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;
}

/** The bytes of a fetch under way. */
export interface IncomingArtefact {
  append(chunk: Uint8Array): Promise<void>;
  /** All bytes were there and their digest was right: they are kept. */
  keep(): Promise<void>;
  /** Without effect after `keep`. */
  discard(): Promise<void>;
}

export interface ArtefactStoreDeps {
  onProblem: (error: unknown) => void;
}

/**
 * What was fetched as it was fetched, since a tree cannot be turned back into the bytes that its digest names. By digest and owner, least recently
 * used first to go, and never longer than the tree. Others may read what is still arriving: they check the digest themselves.
 */
export class ArtefactStore {
  readonly limitBytes: number;
  readonly #folder: string;
  readonly #deps: ArtefactStoreDeps;
  readonly #growing = new Map<string, GrowingFile>();
  readonly #kept: LRUCache<string, number>;
  readonly #expecting = new Set<{ hex: string; wake: () => void }>();
  #next = 0;

  private constructor(deps: ArtefactStoreDeps, folder: string, limitBytes: number) {
    this.#deps = deps;
    this.#folder = folder;
    this.limitBytes = limitBytes;
    this.#kept = new LRUCache({
      maxSize: limitBytes,
      sizeCalculation: (sizeBytes) => Math.max(1, sizeBytes),
      dispose: (_size, hex, reason) => {
        if (reason !== 'set') rm(this.#path(hex), { force: true }).catch(deps.onProblem);
      },
    });
  }

  /** Of what an earlier process left, keeps what `holds` says the cache still has. */
  static async open(
    deps: ArtefactStoreDeps,
    folder: string,
    limitBytes: number,
    holds: ReadonlySet<string>,
  ): Promise<ArtefactStore> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const store = new ArtefactStore(deps, folder, limitBytes);
    const found: { name: string; sizeBytes: number; usedMs: number }[] = [];
    for (const name of await readdir(folder)) {
      const { size: sizeBytes, mtimeMs: usedMs } = await stat(join(folder, name));
      if (NAME.test(name) && holds.has(digestOfArtefact(`sha256:${name}`))) found.push({ name, sizeBytes, usedMs });
      else await rm(join(folder, name), { recursive: true, force: true });
    }
    for (const { name, sizeBytes } of found.sort((a, b) => a.usedMs - b.usedMs)) store.#add(name, sizeBytes);
    return store;
  }

  get usedBytes(): number {
    let bytes = this.#kept.calculatedSize;
    for (const { writtenBytes } of this.#growing.values()) bytes += writtenBytes;
    return bytes;
  }

  /** Undefined when it is there, on its way or too large: then nothing is to be written. */
  async begin(id: string, sizeBytes: number | undefined): Promise<IncomingArtefact | undefined> {
    const hex = hexOf(id);
    if (this.#kept.has(hex) || this.#growing.has(hex) || (sizeBytes ?? 0) > this.limitBytes) return undefined;
    const path = join(this.#folder, `incoming-${this.#next++}`);
    const file = await GrowingFile.create(path, sizeBytes);
    if (this.#growing.has(hex)) {
      await file.end('broken');
      await rm(path, { force: true });
      return undefined;
    }
    this.#growing.set(hex, file);
    for (const each of this.#expecting) if (each.hex === hex) each.wake();
    const discard = async (): Promise<void> => {
      if (this.#growing.get(hex) !== file) return;
      this.#growing.delete(hex);
      await file.end('broken');
      await rm(path, { force: true });
    };
    return {
      append: async (chunk) => {
        if (file.state !== 'growing') return;
        if (file.writtenBytes + chunk.length > this.limitBytes) return discard();
        await file.append(chunk);
      },
      keep: async () => {
        if (this.#growing.get(hex) !== file) return;
        await file.end('whole');
        await file.moveTo(this.#path(hex));
        this.#growing.delete(hex);
        this.#add(hex, file.writtenBytes);
      },
      discard,
    };
  }

  find(id: string): Artefact | undefined {
    const hex = hexOf(id);
    const growing = this.#growing.get(hex);
    if (growing !== undefined) {
      return {
        sizeBytes: growing.sizeBytes,
        read: (fromByte, signal) => this.#readGrowing(growing, hex, fromByte, signal),
      };
    }
    const sizeBytes = this.#kept.get(hex);
    if (sizeBytes === undefined) return undefined;
    return { sizeBytes, read: (fromByte, signal) => this.#readKept(hex, fromByte, signal) };
  }

  /** Also one whose fetch begins within that time, for who was sent here a moment too early. */
  async findSoon(id: string, waitMs: number): Promise<Artefact | undefined> {
    const found = this.find(id);
    if (found !== undefined || this.#expecting.size >= MAX_EXPECTING) return found;
    const { promise, resolve } = Promise.withResolvers<void>();
    const expecting = { hex: hexOf(id), wake: resolve };
    const timer = setTimeout(resolve, waitMs);
    this.#expecting.add(expecting);
    await promise;
    this.#expecting.delete(expecting);
    clearTimeout(timer);
    return this.find(id);
  }

  /** The last tree of that digest is gone. */
  drop(digest: string): void {
    const hex = hexOf(digest);
    for (const name of this.#kept.keys()) if (name.startsWith(hex)) this.#kept.delete(name);
  }

  #add(hex: string, sizeBytes: number): void {
    this.#kept.set(hex, sizeBytes);
    // too large for the limit, so it was not taken
    if (!this.#kept.has(hex)) rm(this.#path(hex), { force: true }).catch(this.#deps.onProblem);
  }

  #path(hex: string): string {
    return join(this.#folder, hex);
  }

  async *#readKept(hex: string, fromByte: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    // whoever has it open may read it to its end, also when it is dropped meanwhile
    const handle = await open(this.#path(hex), 'r');
    try {
      const now = Date.now() / 1000;
      await utimes(this.#path(hex), now, now).catch(() => {});
      for (let at = fromByte; ;) {
        signal.throwIfAborted();
        const chunk = await readAt(handle, at, CHUNK_BYTES);
        if (chunk.length === 0) return;
        at += chunk.length;
        yield chunk;
      }
    } finally {
      await handle.close();
    }
  }

  async *#readGrowing(
    file: GrowingFile,
    hex: string,
    fromByte: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const handle = await file.reader();
    try {
      for (let at = fromByte; ;) {
        await file.beyond(at, signal);
        if (file.state === 'broken') throw new Error(`the fetch of ${hex} ended before its last byte`);
        const leftBytes = file.writtenBytes - at;
        if (leftBytes <= 0) return;
        const chunk = await readAt(handle, at, Math.min(leftBytes, CHUNK_BYTES));
        at += chunk.length;
        yield chunk;
      }
    } finally {
      await handle.close();
    }
  }
}

async function readAt(handle: FileHandle, position: number, bytes: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(bytes), 0, bytes, position);
  return buffer.subarray(0, bytesRead);
}

/** A digest, or the id of an artefact (core/cache-key.ts). */
function hexOf(id: string): string {
  return id.slice('sha256:'.length);
}
