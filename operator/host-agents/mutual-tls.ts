import { HOST_AGENT_TLS_NAME } from '@warmpool/protocol/names.ts';
import { buildConnector } from 'undici';
import type { OperatorTls } from '../certificates/certificate-keeper.ts';

const HANDSHAKE_TIMEOUT_MS = 5_000;

/**
 * Connects to host-agents by address, whoever has it: what counts is that the other side has a certificate of a host-agent. New
 * certificates are used by the connections that are made after `use`; those that are open stay open.
 */
export class MutualTls {
  #connect: buildConnector.connector;

  constructor(first: OperatorTls) {
    this.#connect = connector(first);
  }

  readonly connector: buildConnector.connector = (options, callback) =>
    this.#connect({ ...options, servername: HOST_AGENT_TLS_NAME }, callback);

  use(tls: OperatorTls): void {
    this.#connect = connector(tls);
  }
}

function connector({ cert, key, ca }: OperatorTls): buildConnector.connector {
  // sessions would be kept by server name, and all nodes have the same one
  const options = {
    cert,
    key,
    ca,
    minVersion: 'TLSv1.3',
    maxCachedSessions: 0,
    timeout: HANDSHAKE_TIMEOUT_MS,
  } as const;
  return buildConnector({ ...options, allowH2: false, noDelay: true });
}
