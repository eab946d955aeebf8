import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { FastifyServerFactory } from 'fastify';
import type { TlsFiles } from './tls-files.ts';

/** Both live long; see the plain server's. */
const KEEP_ALIVE_MS = 600_000;
const REQUEST_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 5_000;

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
  const admitted = new WeakSet<object>();
  let options = tlsOptions(first);
  return {
    serverFactory: (handler) => {
      // asked for each request: what came with the handshake may be read before a connection that is destroyed has ended
      const server = createServer(options, (request, response) => {
        if (admitted.has(request.socket)) handler(request, response);
        else request.socket.destroy();
      });
      server.keepAliveTimeout = KEEP_ALIVE_MS;
      server.requestTimeout = REQUEST_TIMEOUT_MS;
      server.prependListener('secureConnection', (socket: TLSSocket) => {
        const certificate = socket.getPeerX509Certificate();
        if (certificate?.checkHost(name) !== undefined) {
          admitted.add(socket);
          return;
        }
        onRefused(`a certificate of ${certificate?.subject ?? 'nobody'} is not that of ${name}`);
        socket.destroy();
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
