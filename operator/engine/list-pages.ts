import { isKubeError, type KubeClient, type KubeObject, type Resource, type Stored } from './kube-client.ts';

export interface ListAllOptions {
  resource: Resource;
  namespace?: string;
  labelSelector?: string;
  pageSize: number;
}

export interface WholeList<T extends KubeObject> {
  items: Stored<T>[];
  resourceVersion: string;
}

const PAGE_TIMEOUT_MS = 30_000;

/**
 * Every object as of one version. When the server forgets that version between two pages (410), the pages so far are worth nothing
 * and it starts over; the second time in one unbroken list, which always ends.
 */
export async function listAll<T extends KubeObject>(
  client: KubeClient,
  options: ListAllOptions,
  signal: AbortSignal,
): Promise<WholeList<T>> {
  try {
    return await listPages<T>(client, options, options.pageSize, signal);
  } catch (error) {
    if (!(error instanceof PagesExpired)) throw error;
  }
  try {
    return await listPages<T>(client, options, options.pageSize, signal);
  } catch (error) {
    if (!(error instanceof PagesExpired)) throw error;
  }
  return listPages<T>(client, options, undefined, signal);
}

async function listPages<T extends KubeObject>(
  client: KubeClient,
  { resource, namespace, labelSelector }: ListAllOptions,
  limit: number | undefined,
  signal: AbortSignal,
): Promise<WholeList<T>> {
  const items: Stored<T>[] = [];
  let token: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const page = await client.list<T>(resource, namespace, {
        timeoutMs: PAGE_TIMEOUT_MS,
        signal,
        ...(limit !== undefined && { limit }),
        ...(labelSelector !== undefined && { labelSelector }),
        ...(token !== undefined && { continue: token }),
      });
      items.push(...page.items);
      if (!page.continue) return { items, resourceVersion: page.resourceVersion };
      token = page.continue;
    } catch (error) {
      if (token !== undefined && isKubeError(error, 410)) throw new PagesExpired('the list expired between two pages');
      throw error;
    }
  }
}

class PagesExpired extends Error {}
