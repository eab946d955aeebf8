import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { Stored } from '../engine/kube-client.ts';
import type { WarmPool } from './resources.ts';

/** With what a pool's code is fetched: the Secret by its name, which is all that the operator knows of it. */
export function codeAccess({ metadata, spec }: Stored<WarmPool>): CodeAccess | undefined {
  if (spec.code === undefined) return undefined;
  const { credentials, store } = spec.code;
  const { namespace = '' } = metadata;
  return { namespace, secretName: credentials.secretName, ...(store !== undefined && { store }) };
}

export function isSameAccess(a: CodeAccess | undefined, b: CodeAccess | undefined): boolean {
  return a?.namespace === b?.namespace && a?.secretName === b?.secretName && a?.store === b?.store;
}
