import type { DispatcherOptions } from '@kubernetes/client-node';
import { type ConnectionOptions, createSecureContext } from 'node:tls';
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from 'undici';

export interface ConnectionPoolOptions {
  /** Each open watch holds one of them; calls beyond that wait for a free one. Default 48. */
  maxConnections?: number;
}

/** The same TLS options in both; undici's type only spells optional members more strictly. */
type ConnectOptions = buildConnector.BuildOptions;

/** Below the 90 s after which an apiserver closes an idle connection: no write is ever sent into one that is being closed. */
const IDLE_MS = 60_000;

/** The one pool of kept-alive HTTP/1.1 connections to the apiserver. */
export function connectionPool(access: DispatcherOptions, options: ConnectionPoolOptions): Dispatcher {
  const pool = {
    connections: options.maxConnections ?? 48,
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS,
    // Calls and watches carry deadlines of their own; these would only fire in the middle of a quiet watch.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  switch (access.type) {
    case 'none':
      return new Agent(pool);
    case 'agent':
      return new Agent({ ...pool, connect: sharedContext(access.connect) });
    case 'proxy':
      return new ProxyAgent({
        ...pool,
        uri: access.uri,
        requestTls: access.requestTls as ConnectOptions,
        connect: access.connect as ConnectOptions,
      });
    case 'socks':
      throw new Error(
        `SOCKS proxies are not supported (${access.uri}); use an HTTP proxy in the kubeconfig's proxy-url`,
      );
  }
}

/** Certificates are read once and not for each connection: that takes as long as the rest of a handshake. */
function sharedContext(connect: ConnectionOptions): ConnectOptions {
  return { ...connect, secureContext: createSecureContext(connect) } as ConnectOptions;
}
