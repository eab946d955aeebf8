import type { KubeClient, KubeObject, Resource, WatchEvent } from '../../../operator/engine/kube-client.ts';

const LIMIT_MS = 10_000;

export interface WatchingOptions {
  resourceVersion: string;
  labelSelector?: string;
  timeoutSeconds?: number;
}

/** A watch that is being read: what came so far, and waiting for what should come, with a deadline. */
export class Watching {
  readonly events: WatchEvent<KubeObject>[] = [];
  /** Settles when the watch ends; rejects with what it failed with. */
  readonly ended: Promise<void>;
  readonly #controller = new AbortController();
  #wake: (() => void) | undefined;

  constructor(client: KubeClient, resource: Resource, namespace: string | undefined, options: WatchingOptions) {
    this.ended = this.#read(client, resource, namespace, options);
    // Tests that care await it themselves.
    this.ended.catch(() => undefined);
  }

  /** `TYPE name` of each event that is not a bookmark. */
  get seen(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'BOOKMARK' ? [] : [`${event.type} ${event.object.metadata.name}`],
    );
  }

  async until(isTrue: (watching: this) => boolean): Promise<void> {
    const deadline = Date.now() + LIMIT_MS;
    while (!isTrue(this)) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`the watch has only seen [${this.seen.join(', ')}] after ${LIMIT_MS} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  abort(): void {
    this.#controller.abort();
  }

  async stop(): Promise<void> {
    this.abort();
    await this.ended.catch(() => undefined);
  }

  async #read(
    client: KubeClient,
    resource: Resource,
    namespace: string | undefined,
    { timeoutSeconds = 60, ...options }: WatchingOptions,
  ): Promise<void> {
    const watch = client.watch(resource, namespace, { ...options, timeoutSeconds, signal: this.#controller.signal });
    for await (const event of watch) {
      this.events.push(event);
      this.#wake?.();
    }
  }
}
