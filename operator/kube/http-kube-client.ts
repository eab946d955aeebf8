import { type Clock, sleep } from '../engine/clock.ts';
import {
  type CallOptions,
  type DeleteOptions,
  type JsonPatchOperation,
  KubeError,
  type KubeClient,
  type KubeObject,
  type ListOptions,
  type ListResult,
  type Resource,
  type Stored,
  type WatchEvent,
  type WatchOptions,
} from '../engine/kube-client.ts';
import { PODS } from '../core/resources.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';
import { CallDeadline } from './call-deadline.ts';
import type { PooledKubeConfig } from './config.ts';
import { connectionPool, type ConnectionPoolOptions } from './connection-pool.ts';
import { Credentials } from './credentials.ts';
import { type HttpCall, HttpExchange, type ObservedCall } from './http-exchange.ts';
import { httpWatch } from './http-watch.ts';
import { collectionPath, listQuery, objectPath } from './resource-path.ts';

export interface HttpKubeClientDeps {
  clock: Clock;
  random: Random;
  /** Called at the start and after a 401. */
  loadConfig: () => PooledKubeConfig;
  /** Told about every request that was sent, for metrics. */
  observe?: (call: ObservedCall) => void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MERGE_PATCH = 'application/merge-patch+json';
const JSON_PATCH = 'application/json-patch+json';
const READ_RETRIES = 4;
const RETRY_BASE_MS = 100;
const RETRY_LIMIT_MS = 2_000;

/** The port over a real apiserver. */
export class HttpKubeClient implements KubeClient {
  readonly #deps: HttpKubeClientDeps;
  readonly #credentials: Credentials;
  readonly #exchange: HttpExchange;

  constructor(deps: HttpKubeClientDeps, options: ConnectionPoolOptions = {}) {
    const { clock, loadConfig, observe } = deps;
    this.#deps = deps;
    this.#credentials = new Credentials({ clock, loadConfig, connect: (access) => connectionPool(access, options) });
    this.#exchange = new HttpExchange({ clock, credentials: this.#credentials, observe });
  }

  /** Breaks what is still open: stop reflectors and drain calls first. */
  async close(): Promise<void> {
    await this.#credentials.close();
  }

  async get<T extends KubeObject>(resource: Resource, namespace: string, name: string, options: CallOptions = {}) {
    const path = objectPath(resource, namespace, name);
    return (await this.#read({ verb: 'get', resource, path }, options)) as Stored<T>;
  }

  async list<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options: ListOptions = {},
  ): Promise<ListResult<T>> {
    const path = `${collectionPath(resource, namespace)}${listQuery(options)}`;
    const list = (await this.#read({ verb: 'list', resource, path }, options)) as {
      metadata: { resourceVersion: string; continue?: string };
      items: Stored<T>[] | null;
    };
    const items = list.items ?? [];
    // The items of built-in kinds come without these two; everywhere else objects carry them.
    for (const item of items) {
      item.apiVersion = apiVersion(resource);
      item.kind = resource.kind;
    }
    const { resourceVersion } = list.metadata;
    return { items, resourceVersion, ...(list.metadata.continue && { continue: list.metadata.continue }) };
  }

  watch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>> {
    const deps = { clock: this.#deps.clock, exchange: this.#exchange };
    return httpWatch(deps, resource, namespace, options) as AsyncIterable<WatchEvent<T>>;
  }

  async create<T extends KubeObject>(resource: Resource, namespace: string, object: T, options: CallOptions = {}) {
    const body = JSON.stringify({ ...object, apiVersion: apiVersion(resource), kind: resource.kind });
    const path = collectionPath(resource, namespace);
    return (await this.#write({ verb: 'create', resource, path, body }, options)) as Stored<T>;
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    name: string,
    patch: object | readonly JsonPatchOperation[],
    options: CallOptions = {},
  ) {
    const path = objectPath(resource, namespace, name);
    const call = {
      verb: 'patch',
      resource,
      path,
      body: JSON.stringify(patch),
      contentType: Array.isArray(patch) ? JSON_PATCH : MERGE_PATCH,
    } as const;
    return (await this.#write(call, options)) as Stored<T>;
  }

  async patchStatus<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    name: string,
    patch: object,
    options: CallOptions = {},
  ) {
    const path = `${objectPath(resource, namespace, name)}/status`;
    const call = {
      verb: 'patchStatus',
      resource,
      path,
      body: JSON.stringify(patch),
      contentType: MERGE_PATCH,
    } as const;
    return (await this.#write(call, options)) as Stored<T>;
  }

  async patchResize<T extends KubeObject>(
    namespace: string,
    name: string,
    patch: readonly JsonPatchOperation[],
    options: CallOptions = {},
  ) {
    const call = {
      verb: 'patchResize',
      resource: PODS,
      path: `${objectPath(PODS, namespace, name)}/resize`,
      body: JSON.stringify(patch),
      contentType: JSON_PATCH,
    } as const;
    return (await this.#write(call, options)) as Stored<T>;
  }

  async delete(resource: Resource, namespace: string, name: string, options: DeleteOptions = {}): Promise<void> {
    const { uid, resourceVersion, gracePeriodSeconds } = options;
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      gracePeriodSeconds,
      preconditions: { uid, resourceVersion },
    });
    await this.#write({ verb: 'delete', resource, path: objectPath(resource, namespace, name), body }, options);
  }

  /** Posts an object of no namespace that nothing keeps, such as a TokenReview, and gives it back with its status. */
  review = async (resource: Resource, body: object, options: CallOptions = {}): Promise<object> => {
    const text = JSON.stringify({ ...body, apiVersion: apiVersion(resource), kind: resource.kind });
    const path = collectionPath(resource, undefined);
    return (await this.#write({ verb: 'create', resource, path, body: text }, options)) as object;
  };

  async #write(call: HttpCall, options: CallOptions): Promise<unknown> {
    using deadline = this.#deadline(call, options);
    return await this.#exchange.json(call, deadline.signal);
  }

  async #read(call: HttpCall, options: CallOptions): Promise<unknown> {
    using deadline = this.#deadline(call, options);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#exchange.json(call, deadline.signal);
      } catch (error) {
        if (!(error instanceof KubeError) || attempt === READ_RETRIES || !isWorthAnotherRead(error)) throw error;
        const backoffMs = jitteredBackoffMs(attempt, RETRY_BASE_MS, RETRY_LIMIT_MS, this.#deps.random);
        const waitMs = (error.retryAfterSeconds ?? 0) * 1000 + backoffMs;
        // The refusal tells the caller more than a timeout would.
        if (waitMs >= deadline.remainingMs) throw error;
        await sleep(this.#deps.clock, waitMs, deadline.signal);
      }
    }
  }

  #deadline(call: HttpCall, { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: CallOptions): CallDeadline {
    return new CallDeadline(this.#deps.clock, `${call.verb} ${call.path}`, timeoutMs, signal);
  }
}

function isWorthAnotherRead(error: KubeError): boolean {
  return error.status === 429 || (error.status === 0 && error.reason === 'Network');
}

function apiVersion(resource: Resource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}
