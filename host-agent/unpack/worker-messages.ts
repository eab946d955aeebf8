import type { HostErrorCode } from '../errors.ts';
import type { UnpackedTree } from './tree-builder.ts';
import type { UnpackJob } from './unpack-job.ts';

/** What goes to the unpack thread: first, on its own port, a job with the port that all else about it uses. */
export interface StartMessage {
  job: UnpackJob & { hasTail: boolean };
  port: import('node:worker_threads').MessagePort;
}

export interface VerifyMessage {
  /** An entry's folder; the answer on the port is a boolean. */
  verify: string;
  port: import('node:worker_threads').MessagePort;
}

export type FeedMessage =
  | { type: 'chunk'; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'tail'; startByte: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'end' }
  | { type: 'abort' };

export type AnswerMessage =
  /** Bytes read since the last one: the sender may send as many more. */
  | { type: 'read'; bytes: number }
  | { type: 'grown'; diskBytes: number }
  | { type: 'done'; tree: UnpackedTree }
  /** Without a code: not the archive's fault but this program's. */
  | { type: 'failed'; code?: HostErrorCode; message: string };
