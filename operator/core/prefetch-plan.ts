import { hash } from 'node:crypto';
import type { PrefetchCodeRequest } from '@warmpool/protocol/prefetch-api.ts';

export interface PrefetchCandidate {
  node: string;
  hasCode: boolean;
  standbyPods: number;
}

/** The nodes that a prefetch goes to, in the order in which they are told. */
export function choosePrefetchNodes(candidates: PrefetchCandidate[], count: number): string[] {
  const byWorth = (a: PrefetchCandidate, b: PrefetchCandidate): number =>
    Number(b.hasCode) - Number(a.hasCode) || b.standbyPods - a.standbyPods || (a.node < b.node ? -1 : 1);
  return candidates
    .toSorted(byWorth)
    .slice(0, count)
    .map(({ node }) => node);
}

/** Of the same code for the same nodes, wherever it comes from. The namespace is in the id, so that it says who may ask for it. */
export function prefetchId({ code, namespace, pools, nodes, nodeCount }: PrefetchCodeRequest): string {
  const { digest, format, fileName = '' } = code;
  const parts = [digest, format, fileName, sorted(pools), sorted(nodes), nodeCount ?? 0];
  const id = hash('sha256', JSON.stringify(parts)).slice(0, 32);
  return namespace === undefined ? id : `${namespace}.${id}`;
}

export function namespaceOfPrefetch(id: string): string | undefined {
  const dot = id.indexOf('.');
  return dot === -1 ? undefined : id.slice(0, dot);
}

/** The order in which they are named means nothing. */
function sorted(names: string[] | undefined): string[] {
  return [...new Set(names)].sort();
}
