import { readFileSync } from 'node:fs';
import { readConfig, USAGE, wantsHelp, type OperatorConfig } from './config.ts';
import { systemClock } from './engine/clock.ts';
import { hostAgents } from './host-agents/host-agents.ts';
import { createClaimApi } from './http/claim-api.ts';
import { OperatorMetrics } from './http/metrics.ts';
import { addOpenApiPage } from './http/openapi-page.ts';
import { createOpsServer } from './http/ops.ts';
import { loadKubeConfig } from './kube/config.ts';
import { HttpKubeClient } from './kube/http-kube-client.ts';
import { ReviewedAccess } from './kube/reviewed-access.ts';
import { drainClaims } from './drain.ts';
import { createLogger } from './log.ts';
import { Operator } from './operator.ts';
import { pooledRandomHex } from './random-hex.ts';
import { ServingLabel } from './serving-label.ts';

const VERSION = '0.1.0';
const OPENAPI_FILE = new URL('../docs/api/claim-api.json', import.meta.url);

async function main(config: OperatorConfig): Promise<void> {
  const log = createLogger('operator', config.logLevel);
  const metrics = new OperatorMetrics(VERSION);
  const random = Math.random;
  const kube = new HttpKubeClient({
    clock: systemClock,
    random,
    loadConfig: () => loadKubeConfig(config.kubeconfig === undefined ? {} : { kubeconfigPath: config.kubeconfig }),
    observe: metrics.observeKubeCall,
  });
  const stop = new AbortController();
  const agents = await hostAgents({ clock: systemClock, random, kube, log }, config, stop.signal);
  const { podName: name, namespace } = config;
  const label = name && new ServingLabel({ clock: systemClock, random, kube, log }, { namespace, name }, stop.signal);
  const operator = new Operator(
    {
      clock: systemClock,
      random,
      kube,
      hostAgents: agents.client,
      log,
      metrics,
      // the claim's answer goes first
      observeClaim: (sample) => void setImmediate(metrics.observeClaim, sample),
      onPrefetched: metrics.observePrefetched,
      onServing: (isServing) => void (label && label.set(isServing)),
      randomHex: pooledRandomHex(),
    },
    {
      identity: config.identity,
      leaseNamespace: config.leaseNamespace,
      nodes: agents.client.nodes,
      hostAgentPods: agents.discovery && { ...agents.discovery, onMoved: (node, at) => agents.client.move(node, at) },
      grantKey: agents.grantKey,
    },
  );
  metrics.follow(operator);

  let isDraining = false;
  const claimApi = createClaimApi({
    claims: operator.claims,
    queries: operator.queries,
    prefetches: operator.prefetches,
    log,
    isDraining: () => isDraining,
    access:
      config.audiences &&
      new ReviewedAccess({ clock: systemClock, log, review: kube.review }, { audiences: config.audiences }),
  });
  await addOpenApiPage(claimApi, JSON.parse(readFileSync(OPENAPI_FILE, 'utf8')) as object);
  const ops = createOpsServer({
    registry: metrics.registry,
    log,
    isReady: () => !isDraining && operator.isServing,
    isComplete: () => operator.isComplete,
  });
  const running = Promise.all([operator.run(stop.signal), agents.run(stop.signal)]);
  await ops.listen(config.metricsListen);
  await claimApi.listen(config.listen);

  const drain = async (signal: string): Promise<void> => {
    if (isDraining) return;
    isDraining = true;
    log.info({ signal }, 'draining');
    await drainClaims(operator, systemClock, config.drainMs);
    stop.abort(new Error('the operator stops'));
    await claimApi.close();
    await running;
    await Promise.all([ops.close(), agents.client.close(), kube.close()]);
    log.info({}, 'stopped');
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, (name: string) => void drain(name));
  await running;
}

function fail(error: unknown, exitCode: number, rest = ''): never {
  process.stderr.write(`operator: ${error instanceof Error ? error.message : String(error)}\n${rest}`);
  process.exit(exitCode);
}

function configuration(): OperatorConfig {
  if (wantsHelp()) {
    process.stdout.write(`${USAGE}\n`);
    process.exit(0);
  }
  try {
    return readConfig(process.argv.slice(2), process.env);
  } catch (error) {
    fail(error, 2, `${USAGE}\n`);
  }
}

await main(configuration()).catch((error: unknown) => fail(error, 1));
