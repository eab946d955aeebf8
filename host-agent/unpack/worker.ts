import type { MessagePort } from 'node:worker_threads';
import { parentPort } from 'node:worker_threads';
import { isHostError } from '../errors.ts';
import type { ChunkSource } from './chunk-source.ts';
import { isTreeWhole } from './tree-manifest.ts';
import { runUnpackJob } from './unpack-job.ts';
import type { ZipTail } from './zip-directory.ts';
import type { AnswerMessage, FeedMessage, StartMessage, VerifyMessage } from './worker-messages.ts';

/** The chunks that arrive on a job's port; reading one gives the sender credit for the next. */
class PortChunks implements ChunkSource {
  readonly #port: MessagePort;
  readonly #arrived: FeedMessage[] = [];
  #waiting: (() => void)[] = [];
  #ended = false;
  readonly tail?: () => Promise<ZipTail>;

  constructor(port: MessagePort, { hasTail }: { hasTail: boolean }) {
    this.#port = port;
    const tail = Promise.withResolvers<ZipTail>();
    tail.promise.catch(() => {});
    if (hasTail) this.tail = () => tail.promise;
    port.on('message', (message: FeedMessage) => {
      if (message.type === 'tail') return tail.resolve(message);
      if (message.type === 'abort') tail.reject(new Error('the transfer was given up'));
      this.#arrived.push(message);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  async next(): Promise<Buffer | undefined> {
    if (this.#ended) return undefined;
    while (this.#arrived.length === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    const message = this.#arrived.shift();
    switch (message?.type) {
      case 'chunk':
        this.#port.postMessage({ type: 'read', bytes: message.bytes.length } satisfies AnswerMessage, []);
        return Buffer.from(message.bytes.buffer);
      case 'abort':
        throw new Error('the transfer was given up');
      case 'end':
      case 'tail':
      case undefined:
        this.#ended = true;
        return undefined;
    }
  }
}

async function serve({ job, port }: StartMessage): Promise<void> {
  const onGrown = (diskBytes: number): void =>
    port.postMessage({ type: 'grown', diskBytes } satisfies AnswerMessage, []);
  let answer: AnswerMessage;
  try {
    answer = { type: 'done', tree: await runUnpackJob(job, new PortChunks(port, job), onGrown) };
  } catch (error) {
    answer = isHostError(error)
      ? { type: 'failed', code: error.code, message: error.message }
      : { type: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  port.postMessage(answer, []);
  port.close();
}

async function verify({ verify: entryFolder, port }: VerifyMessage): Promise<void> {
  const isWhole = await isTreeWhole(entryFolder, () => new Promise((resolve) => setImmediate(resolve)));
  port.postMessage(isWhole, []);
  port.close();
}

parentPort?.on('message', (message: StartMessage | VerifyMessage) => {
  if ('verify' in message) void verify(message);
  else void serve(message);
});
