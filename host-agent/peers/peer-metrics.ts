import { Counter, Gauge, type Registry } from 'prom-client';
import type { PeerOutcome } from './peer-store.ts';
import type { ServedOutcome } from './peer-server.ts';

export interface PeerFigures {
  artefactBytes(): number;
  artefactLimitBytes(): number;
  transfers(): number;
}

/** What peers gave this node, and what it gave them. */
export class PeerMetrics {
  readonly #asked: Counter<'outcome'>;
  readonly #served: Counter<'outcome'>;
  readonly #servedBytes: Counter;

  constructor(registry: Registry, figures: PeerFigures) {
    const registers = [registry];
    this.#asked = new Counter({
      name: 'warmpool_host_peer_requests_total',
      help: 'Requests for code to host-agents of other nodes, by what came of it; when none is "served" the origin is asked.',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.#served = new Counter({
      name: 'warmpool_host_peer_served_total',
      help: 'Requests for code from host-agents of other nodes, by what came of it.',
      labelNames: ['outcome'] as const,
      registers,
    });
    this.#servedBytes = new Counter({
      name: 'warmpool_host_peer_served_bytes_total',
      help: 'Bytes of code sent to host-agents of other nodes.',
      registers,
    });
    const transfers: Gauge = new Gauge({
      name: 'warmpool_host_peer_transfers',
      help: 'Host-agents of other nodes that are being sent code.',
      registers,
      collect: () => transfers.set(figures.transfers()),
    });
    const bytes: Gauge<'part'> = new Gauge({
      name: 'warmpool_host_artefact_bytes',
      help: 'Bytes of code as it was fetched, kept for other nodes, and the limit.',
      labelNames: ['part'] as const,
      registers,
      collect: () => {
        bytes.set({ part: 'kept' }, figures.artefactBytes());
        bytes.set({ part: 'limit' }, figures.artefactLimitBytes());
      },
    });
  }

  observeAsked(outcome: PeerOutcome): void {
    this.#asked.inc({ outcome });
  }

  observeServed(outcome: ServedOutcome, bytes: number): void {
    this.#served.inc({ outcome });
    this.#servedBytes.inc(bytes);
  }
}
