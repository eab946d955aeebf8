import { KubeError, type ListOptions, type Resource, type WatchOptions } from '../engine/kube-client.ts';

export function collectionPath(resource: Resource, namespace: string | undefined): string {
  const api = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope = namespace === undefined ? '' : `/namespaces/${segment(namespace, 'namespace')}`;
  return `${api}${scope}/${resource.plural}`;
}

export function objectPath(resource: Resource, namespace: string, name: string): string {
  return `${collectionPath(resource, namespace)}/${segment(name, 'name')}`;
}

/** An empty segment would address the whole collection: `DELETE` on that is everybody's pods. */
function segment(value: string, field: string): string {
  if (value === '' || value === '.' || value === '..') {
    throw new KubeError(422, 'Invalid', `metadata.${field}: Invalid value: "${value}": must be a name`);
  }
  return encodeURIComponent(value);
}

export function listQuery(options: ListOptions): string {
  return query({ labelSelector: options.labelSelector, limit: options.limit, continue: options.continue });
}

export function watchQuery(options: WatchOptions): string {
  return query({
    watch: true,
    allowWatchBookmarks: true,
    resourceVersion: options.resourceVersion,
    timeoutSeconds: options.timeoutSeconds,
    labelSelector: options.labelSelector,
  });
}

function query(parameters: Record<string, string | number | boolean | undefined>): string {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}
