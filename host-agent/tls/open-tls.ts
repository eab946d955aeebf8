import type { Server as HttpServer } from 'node:http';
import type { FastifyServerFactory } from 'fastify';
import type { Logger } from 'pino';
import { operatorOnly } from './operator-only.ts';
import { firstTlsFiles, followTlsFiles } from './tls-files.ts';

export interface Tls {
  grantKey: Buffer;
  serverFactory: FastifyServerFactory<HttpServer>;
  /** Uses the files as they change from now on. */
  follow(onGrantKey: (key: Buffer) => void): void;
}

/** HTTPS for the operator with the files of this folder; `undefined` for an empty name: plain HTTP on loopback. */
export async function openTls(folder: string, log: Logger): Promise<Tls | undefined> {
  if (folder === '') return undefined;
  const first = await firstTlsFiles(folder);
  const { serverFactory, use } = operatorOnly(first, (reason) => log.warn({ reason }, 'a connection was refused'));
  const onProblem = (error: unknown): void => log.error({ err: error }, 'the certificates cannot be used as they are');
  return {
    grantKey: first.grantKey,
    serverFactory,
    follow: (onGrantKey) => {
      followTlsFiles(
        folder,
        first,
        (files) => {
          use(files);
          onGrantKey(files.grantKey);
          log.info({}, 'certificates were replaced');
        },
        onProblem,
      );
    },
  };
}
