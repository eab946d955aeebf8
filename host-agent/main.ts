import { mkdir } from 'node:fs/promises';
import { FetchBudget } from './blob/fetch-budget.ts';
import { openCacheFolder } from './cache/open-cache-folder.ts';
import { openCodeCache } from './cache/open-code-cache.ts';
import { Prefetcher } from './cache/prefetcher.ts';
import { systemClock as clock } from './clock.ts';
import type { HostAgentConfig } from './config.ts';
import { ConfigError } from './config-error.ts';
import { readConfig, wantsHelp } from './config.ts';
import { GrantGate } from './core/grant.ts';
import { ReadAhead } from './deliver/read-ahead.ts';
import { NodeEvents } from './events/node-events.ts';
import { addEventRoutes } from './http/event-routes.ts';
import { listen } from './http/listen.ts';
import { addLoadRoutes } from './http/load-routes.ts';
import { addOpsRoutes, addProbeRoutes } from './http/ops-routes.ts';
import { addPodRoutes } from './http/pod-routes.ts';
import { addPrefetchRoutes } from './http/prefetch-routes.ts';
import { createServer } from './http/server.ts';
import { endOnSignals, endWithParent } from './lifecycle.ts';
import { readGrantKey } from './load/grant-key.ts';
import { LoadService } from './load/load-service.ts';
import { createLogger } from './logger.ts';
import { HostMetrics } from './metrics.ts';
import { openMounter } from './mounts/open-mounter.ts';
import { openPeers } from './peers/open-peers.ts';
import { PodRegistry } from './pods/pod-registry.ts';
import { Preparer } from './prepare/preparer.ts';
import { openSecrets } from './secrets/open-secrets.ts';
import type { SecretOutcome } from './secrets/secret-reader.ts';
import { usage } from './settings.ts';
import { ADMITTED } from './tls/named-only.ts';
import { openTls } from './tls/open-tls.ts';
import { Unpacker } from './unpack/unpacker.ts';
import { openNodeVolumes } from './volumes/node-volumes.ts';

/** Who reads strangers' code on a node. */
const NOBODY = 65_534;

async function run(config: HostAgentConfig): Promise<void> {
  // the cache's modes must not depend on who starts this program
  process.umask(0o022);
  if (config.parentLifeline) endWithParent();
  const log = createLogger(config);
  const onProblem = (error: unknown): void => log.error({ err: error }, 'background work failed');
  const tls = await openTls(config.tlsDir, log);
  const grants = new GrantGate(tls?.grantKey ?? (await readGrantKey(config.grantKeyFile)));
  tls?.follow((key) => grants.replaceKey(key));
  const events = new NodeEvents();
  const metrics = new HostMetrics({
    cache: () => cache.describe(),
    fetchConnections: () => budget.connectionsInUse,
    loadsInFlight: () => loads.inFlight,
    podStates: () => pods.reports().map(({ state }) => state),
  });

  // code: where it comes from, how it is unpacked, where it stays
  const unpacker = new Unpacker();
  const budget = new FetchBudget(clock, config.fetchBudget);
  const mounter = await openMounter({ clock, onProblem }, config);
  const folder = await openCacheFolder({ mounter, log }, config);
  const peers = await openPeers(
    { clock, budget, registry: metrics.registry, tls: tls?.peers, folder, onProblem },
    config,
  );
  const onRead = (outcome: SecretOutcome): void => metrics.observeSecretRead(outcome);
  const secrets = openSecrets({ clock, onRead }, config.apiserver);
  const cache = await openCodeCache(
    {
      secrets: secrets.reader,
      folder,
      unpacker,
      budget,
      clock,
      peers,
      onCached: (digest, key) => {
        events.publish({ type: 'CACHED', digest });
        preparer.add(key);
      },
      onEvicted: (digest) => {
        peers?.drop(digest);
        events.publish({ type: 'EVICTED', digest });
      },
      onFetched: (timings) => metrics.observeFetch(timings),
      onMirror: (outcome) => metrics.observeMirror(outcome),
      onCorrupt: (digest) =>
        log.warn({ digest }, 'a cached tree was damaged; it is fetched again when it is asked for'),
      onProblem,
    },
    config,
  );

  const readAhead = mounter === undefined ? undefined : new ReadAhead(mounter, clock);
  const preparer = new Preparer(
    {
      cache,
      newTmpPath: () => folder.newTmpPath(),
      onPrepared: async (entryPath) => readAhead?.begin(entryPath),
      onProblem,
    },
    { preparers: config.preparer, ...(config.cluster === undefined ? {} : { uid: NOBODY }) },
  );

  // pods: those that outlived the last process say what they use before anything is evicted
  await mkdir(config.podsDir, { recursive: true });
  const pods = new PodRegistry(
    {
      clock,
      onReport: (pod) => events.publish({ type: 'POD', pod }),
      onGone: (podUid) => {
        cache.release(podUid);
        events.publish({ type: 'POD_GONE', podUid });
      },
      onDelivered: (podUid, treePath) => cache.adoptPin(treePath, podUid),
      onProblem,
    },
    config.podsDir,
  );
  const volumes = await openNodeVolumes(
    { log, mounter, readAhead, cache, pods, onProblem },
    config,
    folder.entriesPath,
  );
  await pods.start();
  cache.trim();

  // loads and the API
  const loads = new LoadService({
    clock,
    grants,
    pods,
    cache,
    delivery: volumes.delivery,
    sidecarFolder: (podUid, name) => volumes.sidecarFolder(podUid, name),
    peers: peers?.directory,
    log,
    onInFlight: (count) => preparer.setLoadsInFlight(count),
    onEnded: (outcome) => metrics.observeLoad(outcome),
  });
  const prefetcher = new Prefetcher({ cache, onProblem });
  const app = createServer({ log, serverFactory: tls?.serverFactory }, config);
  addLoadRoutes(app, { loads, log }, { ...config, connectionEvent: tls === undefined ? 'connection' : ADMITTED });
  addPodRoutes(app, { pods });
  addPrefetchRoutes(app, { prefetcher, grants, clock, peers: peers?.directory });
  addEventRoutes(app, { node: config.nodeName, pods, cache, events, peerUrl: peers?.url });
  addOpsRoutes(app, { cache, loads, metrics });
  const address = await listen(app, config.listen);
  await volumes.serve();
  log.info({ address }, 'listening');
  const probes = createServer({ log }, config);
  addProbeRoutes(probes, { loads, metrics });
  if (config.opsListen !== undefined) await listen(probes, config.opsListen);
  // off everybody's path; started by the first fetch it would cost that one some hundred milliseconds
  unpacker.warmUp();
  cache
    .verifyAll()
    .then((keys) => keys.forEach((key) => preparer.add(key)))
    .catch(onProblem);

  endOnSignals({
    log,
    drain: () => loads.drain(),
    close: async () => {
      prefetcher.close();
      preparer.close();
      cache.close();
      await Promise.all([peers?.close(), secrets.close()]);
      await Promise.all([app.close(), probes.close(), pods.close(), unpacker.close(), volumes.close()]);
      mounter?.close();
    },
  });
}

try {
  if (wantsHelp()) process.stdout.write(`${usage()}\n`);
  else await run(readConfig());
} catch (error) {
  process.stderr.write(`host-agent: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(error instanceof ConfigError ? 2 : 1);
}
