import type { TarLimits } from './tar-reader.ts';

export interface UnpackLimits extends TarLimits {
  /** Of the archive as it is stored. */
  maxArchiveBytes: number;
  /** Of all files together, unpacked. */
  maxUnpackedBytes: number;
  /** Unpacked to packed; looked at only above {@link RATIO_FREE_BYTES}, since small texts compress very well. */
  maxRatio: number;
}

export const RATIO_FREE_BYTES = 16 * 1024 * 1024;

export const DEFAULT_UNPACK_LIMITS: Readonly<UnpackLimits> = {
  maxArchiveBytes: 512 * 1024 * 1024,
  maxUnpackedBytes: 512 * 1024 * 1024,
  maxEntries: 100_000,
  maxRatio: 250,
  maxPathBytes: 1024,
  maxDepth: 100,
};
