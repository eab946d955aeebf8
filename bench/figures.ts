import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';

export interface Distribution {
  p50: number;
  p95: number;
  p99: number;
  max: number;
}

/** Nearest-rank percentiles, in the unit of the samples, to two decimals. */
export function distribution(samples: readonly number[]): Distribution {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

/** Of each key of the first sample. */
export function medians(samples: readonly Readonly<Record<string, number | undefined>>[]): Record<string, number> {
  const keys = Object.keys(samples[0] ?? {});
  return Object.fromEntries(keys.map((key) => [key, distribution(samples.map((sample) => sample[key] ?? 0)).p50]));
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

export function machine(): {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  arch: string;
  node: string;
} {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    arch: arch(),
    node: process.version,
  };
}
