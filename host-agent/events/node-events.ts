import type { NodeEvent } from '@warmpool/protocol/host-agent-api.ts';

type Listener = (event: NodeEvent) => void;

/** What happens on this node, to whoever listens. */
export class NodeEvents {
  readonly #listeners = new Set<Listener>();

  get listenerCount(): number {
    return this.#listeners.size;
  }

  publish(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
