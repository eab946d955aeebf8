import type { MessagePort } from 'node:worker_threads';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Download } from '../blob/downloader.ts';
import { HostAgentError } from '../errors.ts';
import type { UnpackedTree } from './tree-builder.ts';
import type { UnpackJob } from './unpack-job.ts';
import type { AnswerMessage, FeedMessage, StartMessage, VerifyMessage } from './worker-messages.ts';

export interface UnpackListener {
  /** The last byte has arrived. */
  onReceived: () => void;
  /** The tree takes so much on disk now; nothing more is sent to it before this resolves, and its rejection ends the job. */
  onGrown: (diskBytes: number) => Promise<void>;
}

/** Bytes on their way to the thread and not yet read: enough to keep it busy, bounded for memory. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const WORKER_HEAP_MIB = 256;
/** Names and small buffers of thousands of files die young: fewer, and cheaper, collections. */
const WORKER_YOUNG_MIB = 32;

/**
 * Hands jobs to one thread, which is started once and kept (and replaced if it dies). Hashing, decompressing and writing are synchronous
 * there, so this process's event loop stays free for loads. Jobs take turns chunk by chunk.
 */
export class Unpacker {
  #worker: Worker | undefined;
  readonly #crashListeners = new Set<(error: Error) => void>();

  /** Starts the thread if it is not there: before the first job, or while its first byte is still on its way. */
  warmUp(): void {
    this.#runningWorker();
  }

  /**
   * Rejects with the error of the archive, or of `stream`, or with the signal's reason; `job.folder` is gone by then.
   */
  async unpack(
    job: UnpackJob,
    { stream, tail }: Pick<Download, 'stream' | 'tail'>,
    signal: AbortSignal,
    { onReceived, onGrown }: UnpackListener,
  ): Promise<UnpackedTree> {
    const { port1: port, port2: remote } = new MessageChannel();
    const outcome = Promise.withResolvers<UnpackedTree>();
    outcome.promise.catch(() => {});
    const window = new CreditWindow(WINDOW_BYTES);
    let isOver = false;
    let growth = Promise.resolve();
    const settle = (act: () => void): void => {
      isOver = true;
      window.open();
      act();
    };
    const onCrash = (error: Error): void => settle(() => outcome.reject(error));
    port.on('message', (message: AnswerMessage) => {
      if (message.type === 'read') window.give(message.bytes);
      else if (message.type === 'grown') {
        growth = growth.then(() => onGrown(message.diskBytes));
        growth.catch(() => {});
      } else if (message.type === 'done') settle(() => outcome.resolve(message.tree));
      else settle(() => outcome.reject(asError(message)));
    });
    const worker = this.#runningWorker();
    this.#crashListeners.add(onCrash);
    worker.postMessage({ job: { ...job, hasTail: tail !== undefined }, port: remote } satisfies StartMessage, [remote]);
    // a tail that fails fails the stream too
    tail?.then(
      ({ startByte, bytes }) =>
        isOver || port.postMessage({ type: 'tail', startByte, bytes } satisfies FeedMessage, [bytes.buffer]),
      () => {},
    );
    try {
      await feed(port, stream, signal, window, async () => {
        await growth;
        return isOver;
      });
      if (!isOver) onReceived();
      const tree = await outcome.promise;
      await growth;
      return tree;
    } catch (error) {
      if (!isOver) port.postMessage({ type: 'abort' } satisfies FeedMessage, []);
      // the folder is the thread's until it has answered
      await outcome.promise.catch(() => {});
      throw error;
    } finally {
      this.#crashListeners.delete(onCrash);
      port.close();
    }
  }

  /** Whether the tree in an entry's folder is what its manifest says. */
  async isWhole(entryFolder: string): Promise<boolean> {
    const { port1: port, port2: remote } = new MessageChannel();
    const answer = Promise.withResolvers<boolean>();
    // a thread that dies on a tree has not found it whole
    const onCrash = (): void => answer.resolve(false);
    port.on('message', answer.resolve);
    const worker = this.#runningWorker();
    this.#crashListeners.add(onCrash);
    worker.postMessage({ verify: entryFolder, port: remote } satisfies VerifyMessage, [remote]);
    try {
      return await answer.promise;
    } finally {
      this.#crashListeners.delete(onCrash);
      port.close();
    }
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #runningWorker(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MIB, maxYoungGenerationSizeMb: WORKER_YOUNG_MIB },
    });
    worker.unref();
    let failure = new Error('the unpack thread ended');
    worker.on('error', (error) => (failure = error instanceof Error ? error : new Error(String(error))));
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const onCrash of this.#crashListeners) onCrash(failure);
    });
    this.#worker = worker;
    return worker;
  }
}

async function feed(
  port: MessagePort,
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  window: CreditWindow,
  isOver: () => Promise<boolean>,
): Promise<void> {
  signal.throwIfAborted();
  signal.addEventListener('abort', () => window.open(), { once: true });
  for await (const chunk of stream) {
    const bytes = movable(chunk);
    await window.take(bytes.length);
    signal.throwIfAborted();
    if (await isOver()) return;
    port.postMessage({ type: 'chunk', bytes } satisfies FeedMessage, [bytes.buffer]);
  }
  signal.throwIfAborted();
  port.postMessage({ type: 'end' } satisfies FeedMessage, []);
}

/** Sending a view would copy the whole buffer behind it. */
function movable(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const isWhole = chunk.byteLength === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer;
  return isWhole ? (chunk as Uint8Array<ArrayBuffer>) : new Uint8Array(chunk);
}

/** Lets one sender wait until the reader has caught up. */
class CreditWindow {
  #credit: number;
  #isOpen = false;
  #wake: (() => void) | undefined;

  constructor(bytes: number) {
    this.#credit = bytes;
  }

  async take(bytes: number): Promise<void> {
    while (this.#credit <= 0 && !this.#isOpen) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#credit -= bytes;
  }

  give(bytes: number): void {
    this.#credit += bytes;
    this.#wake?.();
  }

  /** Nobody has to wait any more: the job is over. */
  open(): void {
    this.#isOpen = true;
    this.#wake?.();
  }
}

function asError({ code, message }: { code?: HostAgentError['code']; message: string }): Error {
  return code === undefined ? new Error(message) : new HostAgentError(code, message);
}
