import { createSecureContext } from 'node:tls';
import { buildConnector } from 'undici';

const HANDSHAKE_TIMEOUT_MS = 5_000;

/** PEM: who this side is, and who may have signed the other side's certificate. */
export interface ClientTls {
  cert: string;
  key: string;
  ca: string;
}

/**
 * Connects by address to whoever shows a certificate for `serverName`. New certificates are used by the connections that are made after
 * `use`; those that are open stay open.
 */
export class MutualTls {
  readonly #serverName: string;
  #connect: buildConnector.connector;

  constructor(serverName: string, first: ClientTls) {
    this.#serverName = serverName;
    this.#connect = connector(first);
  }

  readonly connector: buildConnector.connector = (options, callback) =>
    this.#connect({ ...options, servername: this.#serverName }, callback);

  use(tls: ClientTls): void {
    this.#connect = connector(tls);
  }
}

function connector({ cert, key, ca }: ClientTls): buildConnector.connector {
  // read once and not for each connection
  const secureContext = createSecureContext({ cert, key, ca, minVersion: 'TLSv1.3' });
  // sessions would be kept by server name, and all nodes have the same one
  const options = { secureContext, maxCachedSessions: 0, timeout: HANDSHAKE_TIMEOUT_MS } as const;
  return buildConnector({ ...options, allowH2: false, noDelay: true });
}
