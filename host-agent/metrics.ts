import type { CacheReply } from '@warmpool/protocol/host-agent-api.ts';
import type { MirrorOutcome } from './blob/mirrored-store.ts';
import type { LoadOutcome } from './load/load-service.ts';
import type { SecretOutcome } from './secrets/secret-reader.ts';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export interface NodeFigures {
  cache(): Omit<CacheReply, 'entries'>;
  fetchConnections(): number;
  loadsInFlight(): number;
  podStates(): Iterable<string>;
}

const LOAD_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const FETCH_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Every metric of this program. Labels are codes and states only: never a tenant, a claim or a URL. */
export class HostMetrics {
  readonly registry = new Registry();

  readonly #loadSeconds = new Histogram({
    name: 'warmpool_host_load_seconds',
    help: 'Time of POST /v1/load, by outcome code and by where the code came from.',
    labelNames: ['code', 'source'] as const,
    buckets: LOAD_BUCKETS,
    registers: [this.registry],
  });

  readonly #fetchSeconds = new Histogram({
    name: 'warmpool_host_fetch_seconds',
    help: 'Time from asking the store to the last byte, unpacked on the way.',
    buckets: FETCH_BUCKETS,
    registers: [this.registry],
  });

  readonly #unpackSeconds = new Histogram({
    name: 'warmpool_host_unpack_seconds',
    help: 'Time from the last byte to the verified tree in its place.',
    buckets: FETCH_BUCKETS,
    registers: [this.registry],
  });

  readonly #cacheHits = new Counter({
    name: 'warmpool_host_cache_hits_total',
    help: 'Loads whose code was on the node.',
    registers: [this.registry],
  });

  readonly #cacheMisses = new Counter({
    name: 'warmpool_host_cache_misses_total',
    help: 'Loads whose code had to be fetched.',
    registers: [this.registry],
  });

  readonly #mirror = new Counter({
    name: 'warmpool_host_mirror_requests_total',
    help: 'Requests that could go to the mirror, by what came of it; all but "served" went to the store.',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });

  readonly #secretReads = new Counter({
    name: 'warmpool_host_secret_reads_total',
    help: 'Readings of pools’ Secrets from the apiserver, by what came of each.',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });

  constructor(figures: NodeFigures) {
    const registers = [this.registry];
    const cacheBytes: Gauge<'part'> = new Gauge({
      name: 'warmpool_host_cache_bytes',
      help: 'Bytes of unpacked code on this node: entries, fetches under way, evicted and not yet deleted, and the limit.',
      labelNames: ['part'] as const,
      registers,
      collect: () => {
        const { usedBytes, fetchingBytes, deletingBytes, limitBytes } = figures.cache();
        cacheBytes.set({ part: 'entries' }, usedBytes);
        cacheBytes.set({ part: 'fetching' }, fetchingBytes);
        cacheBytes.set({ part: 'deleting' }, deletingBytes);
        cacheBytes.set({ part: 'limit' }, limitBytes);
      },
    });
    const evictions: Gauge = new Gauge({
      name: 'warmpool_host_cache_evictions_total',
      help: 'Trees evicted since the start, damaged ones included.',
      registers,
      collect: () => evictions.set(figures.cache().evictedCount),
    });
    const connections: Gauge = new Gauge({
      name: 'warmpool_host_fetch_connections',
      help: 'Requests to stores under way.',
      registers,
      collect: () => connections.set(figures.fetchConnections()),
    });
    const inFlight: Gauge = new Gauge({
      name: 'warmpool_host_loads_in_flight',
      help: 'Loads that have been accepted and not yet answered.',
      registers: [this.registry],
      collect: () => inFlight.set(figures.loadsInFlight()),
    });
    const pods: Gauge<'state'> = new Gauge({
      name: 'warmpool_host_pods',
      help: 'Pods of this node, by what their agent last said.',
      labelNames: ['state'] as const,
      registers: [this.registry],
      collect: () => {
        pods.reset();
        for (const state of figures.podStates()) pods.inc({ state });
      },
    });
  }

  observeFetch({ fetchMs, unpackMs }: { fetchMs: number; unpackMs: number }): void {
    this.#fetchSeconds.observe(fetchMs / 1000);
    this.#unpackSeconds.observe(unpackMs / 1000);
  }

  observeMirror(outcome: MirrorOutcome): void {
    this.#mirror.inc({ outcome });
  }

  observeSecretRead(outcome: SecretOutcome): void {
    this.#secretReads.inc({ outcome });
  }

  observeLoad({ code, codeSource, seconds }: LoadOutcome): void {
    this.#loadSeconds.observe({ code, source: codeSource }, seconds);
    if (codeSource === 'cache') this.#cacheHits.inc();
    else this.#cacheMisses.inc();
  }
}
