/**
 * The one narrow door to Kubernetes. Two implementations keep it: `kube/http-kube-client.ts` (a real apiserver) and
 * `memory/memory-cluster.ts` (local mode, tests, simulation); `test/contract/kube-client/suite.ts` runs against both.
 * Objects are plain JSON as the apiserver sends them: dates are strings, quantities are strings.
 */

export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

/** As read back: the apiserver has filled these in. */
export type Stored<T extends KubeObject> = T & {
  metadata: ObjectMeta & { uid: string; resourceVersion: string; creationTimestamp: string };
};

export interface CallOptions {
  /** The call fails with `Timeout` after this long; implementations have a default of 10 s. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface ListOptions extends CallOptions {
  labelSelector?: string;
  limit?: number;
  continue?: string;
}

export interface ListResult<T extends KubeObject> {
  items: Stored<T>[];
  /** Of the whole list; a watch starts here. */
  resourceVersion: string;
  continue?: string;
}

export interface WatchOptions {
  resourceVersion: string;
  labelSelector?: string;
  /** The server ends the watch cleanly after this long. */
  timeoutSeconds: number;
  signal: AbortSignal;
}

export type WatchEvent<T extends KubeObject> =
  { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: Stored<T> } | { type: 'BOOKMARK'; resourceVersion: string };

export interface DeleteOptions extends CallOptions {
  /** 409 when the object by that name is another one. */
  uid?: string;
  /** 409 when the object has changed since. */
  resourceVersion?: string;
  gracePeriodSeconds?: number;
}

/**
 * Every method rejects with {@link KubeError} and nothing else. Writes are never retried in here after the request may have reached
 * the server: the caller knows what an ambiguous write means. Reads are retried on 429 and on a broken connection, a few times.
 */
export interface KubeClient {
  get<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    name: string,
    options?: CallOptions,
  ): Promise<Stored<T>>;
  /** `namespace` undefined lists all namespaces. */
  list<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options?: ListOptions,
  ): Promise<ListResult<T>>;
  /**
   * Events strictly after `resourceVersion`, bookmarks included. Ends when the server closes it; throws KubeError 410 (`Expired`)
   * when the version is too old, whether that came as a status or inside the stream.
   */
  watch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    object: T,
    options?: CallOptions,
  ): Promise<Stored<T>>;
  /**
   * An object is a JSON merge patch; a `metadata.resourceVersion` in it is a precondition: 409 `Conflict` when the object has changed.
   * A list is a JSON patch, applied to the object as it is now whatever else has changed in it: 422 `Invalid` when a `test` fails.
   */
  patch<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    name: string,
    patch: object | readonly JsonPatchOperation[],
    options?: CallOptions,
  ): Promise<Stored<T>>;
  /** JSON merge patch of the status subresource. */
  patchStatus<T extends KubeObject>(
    resource: Resource,
    namespace: string,
    name: string,
    patch: object,
    options?: CallOptions,
  ): Promise<Stored<T>>;
  /**
   * A JSON patch of a pod's `resize` subresource. 404 where the cluster has none; its message then does not name the pod, as it does
   * when the pod is what is missing.
   */
  patchResize<T extends KubeObject>(
    namespace: string,
    name: string,
    patch: readonly JsonPatchOperation[],
    options?: CallOptions,
  ): Promise<Stored<T>>;
  delete(resource: Resource, namespace: string, name: string, options?: DeleteOptions): Promise<void>;
}

/** One operation of a JSON patch (RFC 6902); `path` is a JSON pointer, `~1` standing for `/` inside a name. */
export type JsonPatchOperation =
  { op: 'test' | 'add' | 'replace'; path: string; value: unknown } | { op: 'remove'; path: string };

/** `status` as HTTP (0 when no answer came), `reason` as Kubernetes names it, or `Timeout`, `Network`, `Aborted` from this side. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly status: number;
  readonly reason: string;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterSeconds?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** The write may or may not have happened. */
  get isAmbiguous(): boolean {
    return this.status === 0 || this.status >= 500;
  }
}

export function isKubeError(error: unknown, status?: number): error is KubeError {
  return error instanceof KubeError && (status === undefined || error.status === status);
}
