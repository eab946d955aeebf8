import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Registry } from 'prom-client';
import { Agent } from 'undici';
import type { CodeSources } from '../blob/blob-sources.ts';
import { Downloader } from '../blob/downloader.ts';
import type { FetchBudget } from '../blob/fetch-budget.ts';
import type { CacheFolder } from '../cache/cache-folder.ts';
import type { Clock } from '../clock.ts';
import type { HostAgentConfig } from '../config.ts';
import { ServeLimits } from '../core/serve-limits.ts';
import type { PeerTls } from '../tls/open-tls.ts';
import { ArtefactStore } from './artefact-store.ts';
import { PeerDirectory } from './peer-directory.ts';
import { PeerMetrics } from './peer-metrics.ts';
import { servePeers } from './peer-server.ts';
import { PeerStore, type PeerOutcome } from './peer-store.ts';
import { PeeredSources } from './peered-sources.ts';

const CONNECTIONS_PER_PEER = 4;
const KEEP_ALIVE_MS = 30_000;

export interface OpenPeersDeps {
  clock: Clock;
  budget: FetchBudget;
  registry: Registry;
  tls: PeerTls | undefined;
  folder: CacheFolder;
  onProblem: (error: unknown) => void;
}

export type PeersConfig = Pick<
  HostAgentConfig,
  'peerListen' | 'peerCacheBytes' | 'peerConnections' | 'peerBytesPerSecond' | 'peerPatienceMs' | 'cacheDir'
>;

/** Code from and for the other nodes. */
export interface Peers {
  directory: Pick<PeerDirectory, 'learn'>;
  /** Where other nodes get it. */
  url: string;
  over(origin: CodeSources): CodeSources;
  /** The tree of that digest is gone. */
  drop(digest: string): void;
  close(): Promise<void>;
}

/** Undefined without `--peer-listen`. */
export async function openPeers(deps: OpenPeersDeps, config: PeersConfig): Promise<Peers | undefined> {
  const { clock, budget, registry, tls, onProblem } = deps;
  const { peerListen: listen } = config;
  if (listen === undefined) return undefined;
  const folder = join(config.cacheDir, 'artefacts');
  const digests = new Set((await deps.folder.list()).map(({ digest }) => digest));
  const artefacts = await ArtefactStore.open({ onProblem }, folder, config.peerCacheBytes, digests);
  const limits = new ServeLimits({ connections: config.peerConnections, bytesPerSecond: config.peerBytesPerSecond });
  const metrics = new PeerMetrics(registry, {
    artefactBytes: () => artefacts.usedBytes,
    artefactLimitBytes: () => artefacts.limitBytes,
    transfers: () => limits.active,
  });
  const random = Math.random;
  const directory = new PeerDirectory(random);
  const dispatcher = new Agent({
    connections: CONNECTIONS_PER_PEER,
    // what is too slow is known by its bytes
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    ...(tls !== undefined && { connect: tls.client.connector }),
  });
  const { peerPatienceMs: patienceMs } = config;
  const onOutcome = (outcome: PeerOutcome): void => metrics.observeAsked(outcome);
  const peers = new PeerStore({ dispatcher, clock, directory, patienceMs, onOutcome });
  const serve = servePeers({
    clock,
    artefacts,
    limits,
    onServed: (outcome, bytes) => metrics.observeServed(outcome, bytes),
  });
  const server: Server = tls === undefined ? createServer(serve) : tls.serverFactory(serve, {});
  await once(server.listen({ host: listen.host, port: listen.port }), 'listening');
  const { port } = server.address() as AddressInfo;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return {
    directory,
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    over: (origin) =>
      new PeeredSources({
        ...{ origin, directory, peers, artefacts, onProblem },
        downloader: new Downloader({ clock, random, budget }),
      }),
    drop: (digest) => artefacts.drop(digest),
    close: async () => {
      server.closeAllConnections();
      await Promise.all([new Promise((resolve) => server.close(resolve)), dispatcher.destroy()]);
    },
  };
}
