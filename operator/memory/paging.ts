import type { Clock } from '../engine/clock.ts';
import type { KubeObject, ListOptions, ListResult, Stored } from '../engine/kube-client.ts';
import { badRequest, expired } from './api-errors.ts';

interface Snapshot {
  readonly items: readonly Stored<KubeObject>[];
  readonly resourceVersion: string;
  readonly expiresAtMs: number;
}

const TOO_OLD =
  'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.';

/** Lists in pages that all show the state at the first page's version. Unfinished lists are bounded in number and age. */
export class Paging {
  readonly #clock: Clock;
  readonly #snapshots = new Map<number, Snapshot>();
  #lastId = 0;
  readonly #limit = 64;
  readonly #ttlMs = 300_000;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  page(list: () => ListResult<KubeObject>, options: ListOptions): ListResult<KubeObject> {
    if (options.continue !== undefined) return this.#nextPage(options.continue, options.limit);
    const whole = list();
    if (!options.limit || whole.items.length <= options.limit) return whole;
    const id = (this.#lastId += 1);
    const { items, resourceVersion } = whole;
    this.#snapshots.set(id, { items, resourceVersion, expiresAtMs: this.#clock.monotonic() + this.#ttlMs });
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > this.#limit && oldest !== undefined) this.#snapshots.delete(oldest);
    return slice(whole, id, 0, options.limit);
  }

  expireAll(): void {
    this.#snapshots.clear();
  }

  #nextPage(token: string, limit: number | undefined): ListResult<KubeObject> {
    const [id = NaN, offset = NaN] = Buffer.from(token, 'base64url').toString().split('/').map(Number);
    if (!Number.isInteger(id) || !Number.isInteger(offset)) throw badRequest('continue key is not valid');
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined || snapshot.expiresAtMs < this.#clock.monotonic()) throw expired(TOO_OLD);
    return slice(snapshot, id, offset, limit || snapshot.items.length);
  }
}

function slice(
  whole: { readonly items: readonly Stored<KubeObject>[]; readonly resourceVersion: string },
  id: number,
  offset: number,
  limit: number,
): ListResult<KubeObject> {
  const end = offset + limit;
  const items = whole.items.slice(offset, end);
  const { resourceVersion } = whole;
  if (end >= whole.items.length) return { items, resourceVersion };
  return { items, resourceVersion, continue: Buffer.from(`${id}/${end}`).toString('base64url') };
}
