import path from 'node:path';
import { createLogger } from '@warmpool/operator/log.ts';
import type { WarmPool } from '@warmpool/operator/core/resources.ts';
import { findRuntimes } from '@warmpool/runtime-agent/runtimes.ts';
import { ClaimRefused } from './claim-client.ts';
import { LocalCluster } from './compose.ts';
import { readConfig, USAGE, wantsHelp, type LocalConfig } from './config.ts';
import { curlLines } from './curl-lines.ts';
import { showClaims, showPoolsFilling } from './demo.ts';
import { describeError, LocalError } from './errors.ts';
import { matchesVersion } from './kubelet/launch-plan.ts';
import { packFunctions } from './pack-functions.ts';
import { loadPoolFiles } from './pool-files.ts';

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(config: LocalConfig): Promise<void> {
  const log = createLogger('local', config.logLevel);
  const pools = await loadPoolFiles(config.poolsDir);
  const runtimes = await findRuntimes();
  const [runnable, missing] = split(pools, (pool) =>
    runtimes.some(
      (runtime) =>
        'command' in runtime &&
        runtime.name === pool.spec.runtime.name &&
        matchesVersion(runtime.version, pool.spec.runtime.version),
    ),
  );
  for (const { metadata, spec } of missing) {
    const found = runtimes.find(({ name }) => name === spec.runtime.name);
    const why =
      found === undefined
        ? 'no such runtime'
        : 'missing' in found
          ? found.missing
          : `this machine has ${found.version}`;
    print(`skipped: pool ${metadata.name}: runtime ${spec.runtime.name} ${spec.runtime.version}: ${why}`);
  }

  const storeDir = path.join(config.cacheDir, 'store');
  if (config.demo) print('Packing the example functions (the first time installs their packages)');
  const packing = config.demo
    ? await packFunctions(
        { functionsDir: config.functionsDir, cacheDir: config.cacheDir, storeDir },
        { runtimes, env: config.hostEnv },
      )
    : undefined;
  for (const { name, reason } of packing?.skipped ?? []) print(`skipped: function ${name}: ${reason}`);
  for (const { function: fn, format, sizeBytes } of packing?.packed ?? [])
    print(`  ${fn.name.padEnd(16)} ${format.padEnd(7)} ${(sizeBytes / 1024).toFixed(1).padStart(8)} KiB`);

  const { tmpDir, hostEnv, logLevel } = config;
  const local = await LocalCluster.start(log, {
    runtimes,
    tmpDir,
    hostEnv,
    logLevel,
    pools: runnable,
    storeUrl: `folder:${storeDir}`,
    listen: { host: config.host, port: config.port },
  });
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => stop());
  try {
    print('\nFilling the pools');
    await Promise.race([showPoolsFilling(local, print), stopped]);
    const functions = packing?.packed ?? [];
    if (functions.length > 0) {
      print('\nClaiming one instance of each function');
      await Promise.race([showClaims(local, functions, hostEnv, print), stopped]);
    }
    if (config.once) return;
    print(
      `\nThe claim API is at ${local.url}, its OpenAPI page at ${local.url}/docs, metrics at ${local.url}/metrics. Ctrl-C ends everything.`,
    );
    for (const line of curlLines(local.url, runnable, functions)) print(line);
    await stopped;
    print('\nStopping');
  } finally {
    await local.stop();
  }
}

function split(pools: WarmPool[], test: (pool: WarmPool) => boolean): [WarmPool[], WarmPool[]] {
  return [pools.filter(test), pools.filter((pool) => !test(pool))];
}

/** Errors whose message is meant for the person who started this. */
function isSaid(error: unknown): error is Error {
  return error instanceof LocalError || error instanceof ClaimRefused;
}

function configOrUsage(): LocalConfig | undefined {
  if (wantsHelp()) {
    process.stdout.write(`${USAGE}\n`);
    return undefined;
  }
  try {
    return readConfig(process.argv.slice(2), process.env);
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n${USAGE}\n`);
    process.exitCode = 2;
    return undefined;
  }
}

const config = configOrUsage();
if (config !== undefined) {
  try {
    await main(config);
  } catch (error) {
    process.stderr.write(`${isSaid(error) ? error.message : (error as Error).stack}\n`);
    process.exitCode = error instanceof LocalError ? error.exitStatus : 1;
  }
}
