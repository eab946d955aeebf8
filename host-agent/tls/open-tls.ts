import type { Server as HttpServer } from 'node:http';
import { HOST_AGENT_TLS_NAME, OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import { MutualTls } from '@warmpool/wire/mutual-tls.ts';
import type { FastifyServerFactory } from 'fastify';
import type { Logger } from 'pino';
import { namedOnly } from './named-only.ts';
import { firstTlsFiles, followTlsFiles } from './tls-files.ts';

export interface Tls {
  grantKey: Buffer;
  /** For the operator. */
  serverFactory: FastifyServerFactory<HttpServer>;
  peers: PeerTls;
  /** Uses the files as they change from now on. */
  follow(onGrantKey: (key: Buffer) => void): void;
}

/** Between host-agents, both ways. */
export interface PeerTls {
  serverFactory: FastifyServerFactory<HttpServer>;
  client: MutualTls;
}

/** HTTPS for the operator with the files of this folder; `undefined` for an empty name: plain HTTP on loopback. */
export async function openTls(folder: string, log: Logger): Promise<Tls | undefined> {
  if (folder === '') return undefined;
  const first = await firstTlsFiles(folder);
  const onRefused = (reason: string): void => log.warn({ reason }, 'a connection was refused');
  const forOperator = namedOnly(OPERATOR_TLS_NAME, first, onRefused);
  const forPeers = namedOnly(HOST_AGENT_TLS_NAME, first, onRefused);
  const toPeers = new MutualTls(HOST_AGENT_TLS_NAME, first);
  const onProblem = (error: unknown): void => log.error({ err: error }, 'the certificates cannot be used as they are');
  return {
    grantKey: first.grantKey,
    serverFactory: forOperator.serverFactory,
    peers: { serverFactory: forPeers.serverFactory, client: toPeers },
    follow: (onGrantKey) => {
      followTlsFiles(
        folder,
        first,
        (files) => {
          forOperator.use(files);
          forPeers.use(files);
          toPeers.use(files);
          onGrantKey(files.grantKey);
          log.info({}, 'certificates were replaced');
        },
        onProblem,
      );
    },
  };
}
