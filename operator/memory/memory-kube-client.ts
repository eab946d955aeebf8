import type {
  CallOptions,
  KubeClient,
  KubeObject,
  ListResult,
  Stored,
  WatchEvent,
  WatchOptions,
} from '../engine/kube-client.ts';
import { aborted, noSuchResource } from './api-errors.ts';
import type { MemoryCluster } from './memory-cluster.ts';
import type { VersionedStore } from './versioned-store.ts';

/** The port over the memory cluster. As over the wire, nothing has happened when a call returns; it takes effect a microtask later. */
export function memoryKubeClient(cluster: MemoryCluster, store: VersionedStore): KubeClient {
  const answer = async <T>(options: CallOptions | undefined, step: () => unknown): Promise<T> => {
    await Promise.resolve();
    if (options?.signal?.aborted) throw aborted();
    return step() as T;
  };
  return {
    get: <T extends KubeObject>(...[resource, namespace, name, options]: Parameters<KubeClient['get']>) =>
      answer<Stored<T>>(options, () => store.get(resource, namespace, name)),

    list: <T extends KubeObject>(...[resource, namespace, options]: Parameters<KubeClient['list']>) =>
      answer<ListResult<T>>(options, () => cluster.list(resource, namespace, options ?? {})),

    watch: <T extends KubeObject>(...[resource, namespace, options]: Parameters<KubeClient['watch']>) =>
      cluster.watch(resource, namespace, options satisfies WatchOptions) as AsyncIterable<WatchEvent<T>>,

    create: <T extends KubeObject>(...[resource, namespace, object, options]: Parameters<KubeClient['create']>) =>
      answer<Stored<T>>(options, () => store.create(resource, namespace, object)),

    patch: <T extends KubeObject>(...[resource, namespace, name, patch, options]: Parameters<KubeClient['patch']>) =>
      answer<Stored<T>>(options, () => store.patch(resource, namespace, name, patch)),

    patchStatus: <T extends KubeObject>(
      ...[resource, namespace, name, patch, options]: Parameters<KubeClient['patchStatus']>
    ) => answer<Stored<T>>(options, () => store.patchStatus(resource, namespace, name, patch)),

    // as an apiserver before 1.33: nothing here could change a process that runs
    patchResize: <T extends KubeObject>(...[, , , options]: Parameters<KubeClient['patchResize']>) =>
      answer<Stored<T>>(options, () => {
        throw noSuchResource();
      }),

    delete: (resource, namespace, name, options) =>
      answer<void>(options, () => store.delete(resource, namespace, name, options ?? {})),
  };
}
