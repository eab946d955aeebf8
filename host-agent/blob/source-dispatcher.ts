import type { LookupAddress, LookupOptions } from 'node:dns';
import { lookup } from 'node:dns';
import { rootCertificates } from 'node:tls';
import { Agent } from 'undici';
import { isNodeLocalAddress } from '../core/source-address.ts';
import { hostError } from '../errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const HEADERS_TIMEOUT_MS = 10_000;
const BODY_IDLE_TIMEOUT_MS = 15_000;
const KEEP_ALIVE_MS = 60_000;
const CONNECTIONS_PER_ORIGIN = 16;

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/**
 * The connections to object stores. With `allowLoopback: false` a name that resolves to the node itself is refused at the moment of
 * connecting, so that a name which changes its address after a check does not help.
 */
export function createSourceDispatcher(options: { allowLoopback: boolean; extraCa?: string }): Agent {
  return new Agent({
    connections: CONNECTIONS_PER_ORIGIN,
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: BODY_IDLE_TIMEOUT_MS,
    // a new connection costs one to three round trips: as much as a small object
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: {
      timeout: CONNECT_TIMEOUT_MS,
      ...(options.extraCa === undefined ? {} : { ca: [...rootCertificates, options.extraCa] }),
      ...(options.allowLoopback ? {} : { lookup: guardedLookup }),
    },
  });
}

function guardedLookup(hostname: string, options: LookupOptions, callback: LookupCallback): void {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    const [first] = addresses;
    if (first === undefined || addresses.some(({ address }) => isNodeLocalAddress(address))) {
      return callback(
        hostError.sourceNotAllowed(hostname, 'it resolves to the node itself or to a link-local address'),
        [],
      );
    }
    if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
}
