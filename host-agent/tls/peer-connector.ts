import { HOST_AGENT_TLS_NAME } from '@warmpool/protocol/names.ts';
import { buildConnector } from 'undici';
import type { TlsFiles } from './tls-files.ts';

const HANDSHAKE_TIMEOUT_MS = 5_000;

/** Connects to whoever has an address, as one host-agent to another: what counts is the other side's certificate. */
export class PeerConnector {
  #connect: buildConnector.connector;

  constructor(first: TlsFiles) {
    this.#connect = connector(first);
  }

  readonly connect: buildConnector.connector = (options, callback) =>
    this.#connect({ ...options, servername: HOST_AGENT_TLS_NAME }, callback);

  /** For connections from now on; those that are open stay open. */
  use(files: TlsFiles): void {
    this.#connect = connector(files);
  }
}

function connector({ cert, key, ca }: TlsFiles): buildConnector.connector {
  // sessions would be kept by server name, and all nodes have the same one
  const options = {
    cert,
    key,
    ca,
    minVersion: 'TLSv1.3',
    maxCachedSessions: 0,
    timeout: HANDSHAKE_TIMEOUT_MS,
  } as const;
  return buildConnector({ ...options, allowH2: false });
}
