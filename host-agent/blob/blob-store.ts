export interface OpenedBlob {
  /** As the store says; unknown for a chunked answer. */
  sizeBytes?: number;
  /** Breaking off the iteration closes whatever is behind it. */
  stream: AsyncIterable<Uint8Array>;
}

/**
 * Where bytes come from. Rejects, and its streams fail, only with ObjectNotFound, StoreRefused, StoreUnreachable, SourceNotAllowed or
 * the signal's reason; test/contract/blob-store holds each adapter to that.
 */
export interface BlobStore {
  /** `source` is what this store calls an object: a key, or a URL. */
  open(source: string, options: { signal: AbortSignal }): Promise<OpenedBlob>;
}
