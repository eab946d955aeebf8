import type { ObjectVersion } from '../core/object-version.ts';
import type { ByteRange } from '../core/range-plan.ts';

export interface OpenedBlob {
  /** Of the whole object, as the store says; unknown for a chunked answer. */
  sizeBytes?: number;
  /** The part that was asked for. Without it the stream is the whole object: the store knows no ranges. */
  range?: ByteRange;
  /** Tells whether a later answer is about the same object. */
  version?: ObjectVersion;
  /** Breaking off the iteration closes whatever is behind it. A chunk belongs to its reader. */
  stream: AsyncIterable<Uint8Array>;
  /** Of what came from a mirror: to be called when the bytes turn out wrong. */
  blame?: () => void;
}

export interface OpenOptions {
  signal: AbortSignal;
  /** Its end may lie behind the object's. */
  range?: ByteRange;
  /** What an earlier answer said: an object that has another version now fails with StoreUnreachable. */
  version?: ObjectVersion;
  /** Not from a mirror: its bytes were wrong. */
  originOnly?: boolean;
}

/**
 * Where bytes come from. Rejects, and its streams fail, only with ObjectNotFound, StoreRefused, StoreUnreachable, SourceNotAllowed or
 * the signal's reason; test/contract/blob-store holds each adapter to that.
 */
export interface BlobStore {
  /** `source` is what this store calls an object: a key, or a URL. */
  open(source: string, options: OpenOptions): Promise<OpenedBlob>;
}
