import { AHEAD_USAGE, aheadTable, benchReadAhead, ranInOwnMounts, readAheadConfig } from './ahead.ts';
import { benchClaims, type ClaimBenchResult } from './claim.ts';
import { readConfig, USAGE } from './config.ts';
import { DELIVERY_USAGE, readDeliveryConfig } from './delivery/config.ts';
import { benchDelivery, deliveryTable } from './delivery/main.ts';
import { ranOnOwnDisk } from './delivery/own-disk.ts';
import { LOAD_USAGE, readLoadConfig } from './load/config.ts';
import { benchLoads, loadTable } from './load/main.ts';
import { benchMounts, mountTable, MOUNT_USAGE, readMountConfig } from './mount.ts';
import { benchPrepared, preparedTable, PREPARED_USAGE, readPreparedConfig } from './prepared/main.ts';
import { optionsOrUsage } from '../test/support/options-or-usage.ts';

function table(result: ClaimBenchResult): string {
  const row = (name: string, values: Record<string, number>): string =>
    `${name.padEnd(26)}${['p50', 'p95', 'p99', 'max'].map((key) => (values[key] === undefined ? '' : values[key].toFixed(2)).padStart(10)).join('')}`;
  const phases = (p50s: Record<string, number>): string =>
    Object.entries(p50s)
      .map(([phase, ms]) => `${phase.slice(0, -2)} ${ms}`)
      .join(', ');
  const { machine, pods } = result;
  const { size, phasesP50Ms: burstPhases, ...burst } = result.burst;
  return [
    `${result.claims} claims of ${result.function}, ${result.target}; ms          `,
    `${''.padEnd(26)}${['p50', 'p95', 'p99', 'max'].map((name) => name.padStart(10)).join('')}`,
    row('claim to ready', { ...result.claimToReadyMs }),
    row('claim to first response', { ...result.claimToFirstResponseMs }),
    row('while the pool refills', { ...result.whileRefillingMs }),
    row(`burst of ${size}`, burst),
    row('cold start to response', { ...result.coldStartMs }),
    ...(pods === undefined
      ? []
      : [
          row('plain pod to Ready', { ...pods.coldReadyMs }),
          row('plain pod to running', { ...pods.plainPodMs }),
          row('without any volume', { ...pods.podWithoutVolumeMs }),
          row('claim to refilled', { ...pods.refillMs }),
        ]),
    row('an empty round trip', { ...result.roundTripMs }),
    ...(pods === undefined
      ? []
      : [
          `plain pod over claim, to ready: ${pods.readyRatioP50}; refill over plain pod: ${pods.refillRatio}, over one without volumes: ${pods.refillRatioWithoutVolume}`,
          `${pods.fill.pods} standby pods for the first time: ${pods.fill.ms} ms; requests that the apiserver throttled: ${pods.fill.throttledRequests}`,
        ]),
    `cold over claim: ${result.ratioP50}; without the user's import: ${result.platformPartMs.ratio} (${result.platformPartMs.coldP50} over ${result.platformPartMs.claimP50} ms)`,
    `phases at p50: ${phases(result.phasesP50Ms)}`,
    `phases at p50 in a burst: ${phases(burstPhases)}`,
    `failures ${result.failures}, pods handed out twice ${result.duplicates}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, kernel ${machine.kernel}, Node ${machine.node}`,
  ].join('\n');
}

/** Measures and prints; `undefined` when only help was wanted or the options are wrong, which it has said then. */
async function run<C extends { json: boolean }, R>(
  readConfig: (argv: string[]) => C,
  usage: string,
  bench: (config: C) => Promise<R>,
  toTable: (result: R) => string,
): Promise<R | undefined> {
  const config = optionsOrUsage(usage, () => readConfig(rest));
  if (config === undefined) return undefined;
  const result = await bench(config);
  process.stdout.write(`${config.json ? JSON.stringify(result) : toTable(result)}\n`);
  return result;
}

const [name, ...rest] = process.argv.slice(2);
if (name === 'delivery') {
  const isPlaced = rest.some((word) => word.startsWith('--folder'));
  if (isPlaced || rest.includes('--help') || !ranOnOwnDisk())
    await run(readDeliveryConfig, DELIVERY_USAGE, benchDelivery, deliveryTable);
} else if (name === 'load') await run((argv) => readLoadConfig(argv, process.env), LOAD_USAGE, benchLoads, loadTable);
else if (name === 'ahead') {
  if (rest.includes('--help') || !ranInOwnMounts(rest))
    await run(readAheadConfig, AHEAD_USAGE, benchReadAhead, aheadTable);
} else if (name === 'mount') await run(readMountConfig, MOUNT_USAGE, benchMounts, mountTable);
else if (name === 'prepared') await run(readPreparedConfig, PREPARED_USAGE, benchPrepared, preparedTable);
else {
  // which also says what other benchmarks there are
  const result = await run(() => readConfig(process.argv.slice(2), process.env), USAGE, benchClaims, table);
  if (result !== undefined && (result.failures > 0 || result.duplicates > 0)) process.exitCode = 1;
}
