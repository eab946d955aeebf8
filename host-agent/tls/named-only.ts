import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { FastifyServerFactory } from 'fastify';
import type { TlsFiles } from './tls-files.ts';

/** Both live long; see the plain server's. */
const KEEP_ALIVE_MS = 600_000;
const REQUEST_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 5_000;

/** What a server of {@link namedOnly} emits for each connection that it serves, in place of `secureConnection`. */
export const ADMITTED = 'admitted';

export interface NamedOnly {
  serverFactory: FastifyServerFactory<HttpServer>;
  /** For connections from now on; those that are open stay open. */
  use: (files: TlsFiles) => void;
}

/**
 * HTTPS that talks to those with one name alone: a certificate of the operator's own authority with that name. So neither another
 * workload nor another host-agent can send a load or a kill, which come from the operator; and only host-agents get code.
 */
export function namedOnly(name: string, first: TlsFiles, onRefused: (reason: string) => void): NamedOnly {
  const servers = new Set<Server>();
  let options = tlsOptions(first);
  return {
    serverFactory: (handler) => {
      const server = createServer(options, handler);
      server.keepAliveTimeout = KEEP_ALIVE_MS;
      server.requestTimeout = REQUEST_TIMEOUT_MS;
      // what reads requests gets no other connection to see: what came with the handshake is there before one that is destroyed has ended
      for (const serve of server.listeners('secureConnection'))
        server.on(ADMITTED, serve as (socket: TLSSocket) => void);
      server.removeAllListeners('secureConnection');
      server.on('secureConnection', (socket: TLSSocket) => {
        const certificate = socket.getPeerX509Certificate();
        if (certificate?.checkHost(name) !== undefined) return void server.emit(ADMITTED, socket);
        onRefused(`a certificate of ${certificate?.subject ?? 'nobody'} is not that of ${name}`);
        socket.on('error', () => {}).destroy();
      });
      server.on('tlsClientError', (error) => onRefused(error.message));
      servers.add(server);
      return server;
    },
    use: (files) => {
      options = tlsOptions(files);
      for (const server of servers) server.setSecureContext(options);
    },
  };
}

function tlsOptions({ cert, key, ca }: TlsFiles): ServerOptions {
  return {
    cert,
    key,
    ca,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  };
}
