import type { WarmPool } from '@warmpool/operator/core/resources.ts';
import { claimFor } from './claim-client.ts';
import type { PackedFunction } from './pack-functions.ts';

/** Three lines to copy: claim, call, release. */
export function curlLines(url: string, pools: WarmPool[], functions: PackedFunction[]): string[] {
  const fn = functions.find(({ function: { name } }) => name === 'node-hello') ?? functions[0];
  const pool = pools.find(({ spec }) => spec.runtime.name === fn?.function.runtime.name);
  if (fn === undefined || pool === undefined) return [`  curl -s ${url}/v1/pools`];
  const namespace = pool.metadata.namespace ?? 'default';
  const claim = JSON.stringify(claimFor(fn, 'my-first-claim'));
  return [
    '',
    `  curl -s ${url}/v1/pools/${namespace}/${pool.metadata.name}/claims -H 'content-type: application/json' -d '${claim}'`,
    `  curl -s $(curl -s ${url}/v1/claims/${namespace}/my-first-claim | grep -o 'http://[^"]*') -H 'content-type: application/json' -d '{"name":"you"}'`,
    `  curl -s -X DELETE ${url}/v1/claims/${namespace}/my-first-claim`,
    '',
  ];
}
