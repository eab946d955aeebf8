import { hash } from 'node:crypto';
import type { ClaimRequest } from '@warmpool/protocol/claim-api.ts';

/**
 * What makes two requests the same claim: everything but the claim id, its deadline and the env *values*. It is written to the pod
 * for restarts, where people can read it, so nothing secret may be derivable from it.
 */
export function publicFingerprint(request: ClaimRequest): string {
  const { function: fn, code, kind, handler, service, limits, resources, env } = request;
  const parts = [
    fn.tenant,
    fn.name,
    fn.version,
    code.digest,
    code.format,
    code.fileName ?? '',
    kind,
    handler,
    limits.requestTimeoutMs,
    limits.initTimeoutMs,
    limits.concurrency ?? 1,
    ...(resources === undefined ? [] : [resources.cpu]),
  ];
  return hash('sha256', JSON.stringify([parts, sorted(service), sorted(env).map(([name]) => name)])).slice(0, 32);
}

/**
 * The public fingerprint with the env values, under a key that lives in this process only: never stored, never logged. Tells whether an idle
 * instance has exactly what a new claim asks for, and whether a retried claim id came with other values.
 */
export function privateFingerprint(request: ClaimRequest, fingerprint: string, processKey: string): string {
  return hash('sha256', `${processKey}\n${fingerprint}\n${JSON.stringify(sorted(request.env))}`);
}

/** The order in which a client writes its variables means nothing. */
function sorted(values: Record<string, string>): [string, string][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}
