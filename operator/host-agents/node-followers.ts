import { followNode, type NodeFollowerDeps } from '../claims/node-follower.ts';
import { sleep } from '../engine/clock.ts';

/** One follower for each node that has a host-agent. */
export class NodeFollowers {
  readonly #deps: NodeFollowerDeps;
  readonly #stop = new AbortController();
  readonly #following = new Map<string, { stop: AbortController; ended: Promise<void> }>();
  #streams = new AbortController();

  constructor(deps: NodeFollowerDeps) {
    this.#deps = deps;
  }

  follow(node: string): void {
    if (this.#following.has(node) || this.#stop.signal.aborted) return;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, stop.signal]);
    const ended = followNode(this.#deps, node, signal, () => this.#streams.signal);
    this.#following.set(node, { stop, ended });
  }

  /** Nothing on that node is offered any more. */
  leave(node: string): void {
    this.#following.get(node)?.stop.abort(new Error(`node ${node} has no host-agent any more`));
    this.#following.delete(node);
  }

  /** Until the signal aborts and every follower has ended. */
  async run(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#stop.abort(signal.reason);
    await Promise.all([...this.#following.values()].map(({ ended }) => ended));
  }

  /** What a node said before may be older than what another leader has done since: each says again what it has now. */
  hearAnew(): void {
    if (this.#deps.view.heardNodes === 0) return;
    for (const node of this.#following.keys()) this.#deps.view.silence(node);
    this.#streams.abort(new Error('leadership begins'));
    this.#streams = new AbortController();
  }

  /** Resolves when every node was heard, or after `limitMs`. */
  async heard(limitMs: number, signal: AbortSignal): Promise<void> {
    const { clock, view } = this.#deps;
    const untilMs = clock.monotonic() + limitMs;
    while (view.heardNodes < this.#following.size && clock.monotonic() < untilMs) await sleep(clock, 20, signal);
  }
}
