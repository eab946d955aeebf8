/** Below this a buffer may be part of Node's pool. */
const MIN_BYTES = 128 * 1024;
/** Less is not worth it. */
const MIN_WHOLE_BYTES = 16 * 1024;

/**
 * Gives back at once the memory behind a view of a buffer that nobody else has a view of. The collector would do so too, but it goes
 * by the small objects and not by the megabyte behind each, and lets tens of megabytes pile up.
 */
export function release({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= MIN_BYTES) giveBack(buffer);
}

/** Of a chunk that belongs to its reader; one that is a view of something larger is left. */
export function releaseChunk({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === buffer.byteLength && byteLength >= MIN_WHOLE_BYTES) giveBack(buffer);
}

function giveBack(buffer: ArrayBufferLike): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
