import { benchClaims, type ClaimBenchResult } from './claim.ts';
import { readConfig, USAGE, type ClaimBenchConfig } from './config.ts';
import { DELIVERY_USAGE, readDeliveryConfig } from './delivery/config.ts';
import { benchDelivery, deliveryTable } from './delivery/main.ts';
import { LOAD_USAGE, readLoadConfig } from './load/config.ts';
import { benchLoads, loadTable } from './load/main.ts';

function table(result: ClaimBenchResult): string {
  const row = (name: string, values: Record<string, number>): string =>
    `${name.padEnd(26)}${['p50', 'p95', 'p99', 'max'].map((key) => (values[key] === undefined ? '' : values[key].toFixed(2)).padStart(10)).join('')}`;
  const { machine } = result;
  return [
    `${result.claims} claims of ${result.function}, ${result.target}; ms          `,
    `${''.padEnd(26)}${['p50', 'p95', 'p99', 'max'].map((name) => name.padStart(10)).join('')}`,
    row('claim to ready', { ...result.claimToReadyMs }),
    row('claim to first response', { ...result.claimToFirstResponseMs }),
    row('while the pool refills', { ...result.whileRefillingMs }),
    row(`burst of ${result.burst.size}`, { ...result.burst }),
    row('cold start to response', { ...result.coldStartMs }),
    row('an empty round trip', { ...result.roundTripMs }),
    `cold over claim: ${result.ratioP50}; without the user's import: ${result.platformPartMs.ratio} (${result.platformPartMs.coldP50} over ${result.platformPartMs.claimP50} ms)`,
    `phases at p50: ${Object.entries(result.phasesP50Ms)
      .map(([phase, ms]) => `${phase.slice(0, -2)} ${ms}`)
      .join(', ')}`,
    `failures ${result.failures}, pods handed out twice ${result.duplicates}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, kernel ${machine.kernel}, Node ${machine.node}`,
  ].join('\n');
}

function configOrUsage(): ClaimBenchConfig | undefined {
  try {
    return readConfig(process.argv.slice(2), process.env);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
    process.exitCode = 2;
    return undefined;
  }
}

async function claims(): Promise<void> {
  const config = configOrUsage();
  if (config === undefined) return;
  const result = await benchClaims(config);
  process.stdout.write(`${config.json ? JSON.stringify(result) : table(result)}\n`);
  if (result.failures > 0 || result.duplicates > 0) process.exitCode = 1;
}

async function delivery(argv: string[]): Promise<void> {
  let config;
  try {
    config = readDeliveryConfig(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${DELIVERY_USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  const result = await benchDelivery(config);
  process.stdout.write(`${config.json ? JSON.stringify(result) : deliveryTable(result)}\n`);
}

async function loads(argv: string[]): Promise<void> {
  let config;
  try {
    config = readLoadConfig(argv, process.env);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${LOAD_USAGE}\n`);
    process.exitCode = 2;
    return;
  }
  const result = await benchLoads(config);
  process.stdout.write(`${config.json ? JSON.stringify(result) : loadTable(result)}\n`);
}

const [name, ...rest] = process.argv.slice(2);
if (name === 'delivery') await delivery(rest);
else if (name === 'load') await loads(rest);
else await claims();
