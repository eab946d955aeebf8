const KIB = 1024;
const MIB = 1024 * KIB;

/** Of one connection to one store. */
export interface LinkEstimate {
  /** From asking to the first byte. */
  latencyMs: number;
  bytesPerMs: number;
}

export interface ByteRange {
  startByte: number;
  /** Not included. */
  endByte: number;
}

/** What is assumed of a store that was never asked: a round trip of 20 ms and 50 MB/s. */
export const UNKNOWN_LINK: LinkEstimate = { latencyMs: 20, bytesPerMs: 50_000 };

/** Connections that one object is read over at once. */
export const LANES = 8;
/** No range is larger: it is memory that one connection holds. */
export const MAX_RANGE_BYTES = 8 * MIB;
const MIN_RANGE_BYTES = 512 * KIB;

/** What travels during one round trip: a range of this size keeps its connection busy for half of the time. */
function bytesInFlight({ latencyMs, bytesPerMs }: LinkEstimate): number {
  return latencyMs * bytesPerMs;
}

/** Of the first request, sent before the object's size is known. An object that fits costs one request. */
export function firstRangeBytes(link: LinkEstimate): number {
  return clamp(bytesInFlight(link), MIB, 4 * MIB);
}

/**
 * The range after `startByte`, the `index`-th after the first. The first ones are short, so that the reader has several of them early
 * on; then each connection asks less and less often, up to four round trips' worth. What is left at the end is spread over the lanes.
 */
export function nextRange(startByte: number, sizeBytes: number, index: number, link: LinkEstimate): ByteRange {
  const leftBytes = sizeBytes - startByte;
  const step = clamp(bytesInFlight(link), MIN_RANGE_BYTES, MAX_RANGE_BYTES / 4);
  const grown = step * 2 ** Math.min(2, Math.floor(index / LANES));
  const share = Math.max(Math.ceil(leftBytes / LANES), MIN_RANGE_BYTES);
  const bytes = Math.min(grown, share);
  // a rest that is not worth a request of its own goes with this one
  const endByte = leftBytes - bytes < MIN_RANGE_BYTES / 2 ? sizeBytes : startByte + Math.floor(bytes);
  return { startByte, endByte };
}

/** Of a zip's end, read before the rest: its directory is there. */
export function zipTailBytes(sizeBytes: number): number {
  return clamp(sizeBytes / 8, 128 * KIB, 2 * MIB);
}

/** A moving average that follows a change within a few requests. */
export function learn(known: LinkEstimate | undefined, seen: Partial<LinkEstimate>): LinkEstimate {
  const base = known ?? { ...UNKNOWN_LINK, ...seen };
  const blend = (old: number, now: number | undefined): number => (now === undefined ? old : old * 0.7 + now * 0.3);
  return {
    latencyMs: blend(base.latencyMs, seen.latencyMs),
    bytesPerMs: blend(base.bytesPerMs, seen.bytesPerMs),
  };
}

function clamp(value: number, low: number, high: number): number {
  return Math.floor(Math.min(high, Math.max(low, value)));
}
