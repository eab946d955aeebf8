import { setTimeout as sleep } from 'node:timers/promises';
import { matchesVersion } from './kubelet/launch-plan.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { ClaimClient, claimFor } from './claim-client.ts';
import { coldStart, type ColdStart } from './cold-start/cold-start.ts';
import type { LocalCluster } from './compose.ts';
import { LocalError } from './errors.ts';
import { invokeOnce, unexpected } from './invoke.ts';
import type { PackedFunction } from './pack-functions.ts';
import { timeline } from './timeline.ts';

const FILL_LIMIT_MS = 60_000;

/** Shows each pool filling. Rejects with what stands in the way if one does not. */
export async function showPoolsFilling(local: LocalCluster, print: (line: string) => void): Promise<void> {
  const startedMs = performance.now();
  const shown = new Map<string, number>();
  for (;;) {
    const pools = local.operator.isServing ? local.operator.queries.pools() : [];
    for (const pool of pools) {
      if (shown.get(pool.name) === pool.readyReplicas) continue;
      shown.set(pool.name, pool.readyReplicas);
      const dots = `${'●'.repeat(pool.readyReplicas)}${'○'.repeat(Math.max(0, pool.replicas - pool.readyReplicas))}`;
      print(
        `  ${pool.name.padEnd(10)} ${`${pool.runtime.name} ${pool.runtime.version}`.padEnd(11)} ${dots} ${pool.readyReplicas}/${pool.replicas} standby after ${Math.round(performance.now() - startedMs)} ms`,
      );
    }
    const waiting = pools.filter((pool) => pool.readyReplicas < pool.replicas);
    if (pools.length > 0 && waiting.length === 0) return;
    if (performance.now() - startedMs > FILL_LIMIT_MS)
      throw new LocalError(
        'DemoFailed',
        `These pools did not fill within ${FILL_LIMIT_MS / 1000} s: ${waiting.map((pool) => pool.name).join(', ')}. ${troubles(local)}`,
      );
    await sleep(20);
  }
}

/** Claims one instance of each example, calls it, and prints where the time went. */
export async function showClaims(
  local: LocalCluster,
  functions: PackedFunction[],
  env: Readonly<Record<string, string | undefined>>,
  print: (line: string) => void,
): Promise<void> {
  const client = new ClaimClient(local.url);
  try {
    for (const fn of functions) await showClaim(local, client, fn, env, print);
  } finally {
    await client.close();
  }
}

async function showClaim(
  local: LocalCluster,
  client: ClaimClient,
  fn: PackedFunction,
  env: Readonly<Record<string, string | undefined>>,
  print: (line: string) => void,
): Promise<void> {
  const pool = local.operator.queries.pools().find(({ runtime }) => runtime.name === fn.function.runtime.name);
  if (pool === undefined) {
    print(`  ${fn.function.name}: skipped: no pool serves ${fn.function.runtime.name}`);
    return;
  }
  print('');
  print(`  ${fn.function.name}: ${fn.function.description}`);
  for (const [round, title] of [
    [1, 'first claim: the code is fetched and unpacked'],
    [2, 'second claim: the code is in the cache'],
  ] as const) {
    const claimId = `demo-${fn.function.name}-${round}-${process.pid}`;
    const claim = await client.claim(pool.namespace, pool.name, claimFor(fn, claimId));
    if (claim.address === undefined || claim.timings === undefined)
      throw new LocalError('DemoFailed', `Claim ${claimId} was answered without an address`);
    const startedMs = performance.now();
    const answer = await invokeOnce(claim.address.url, fn.function.invoke);
    const firstResponseMs = performance.now() - startedMs;
    const problem = unexpected(answer, fn.function.invoke.expect);
    if (problem !== undefined)
      throw new LocalError('DemoFailed', `Function ${fn.function.name} does not work: ${problem}`);
    print(`    ${title}; it answers ${JSON.stringify(answer.text.slice(0, 60))}`);
    const cold = round === 2 ? await quietly(() => coldOf(local, fn, env)) : undefined;
    for (const line of timeline(claim.timings, firstResponseMs, cold)) print(line);
    await client.release(pool.namespace, claimId);
    await refilled(local, pool.name);
  }
}

function coldOf(
  local: LocalCluster,
  fn: PackedFunction,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ColdStart> {
  const runtime = local.runtimes.find(
    (found): found is PresentRuntime =>
      'command' in found &&
      found.name === fn.function.runtime.name &&
      matchesVersion(found.version, fn.function.runtime.version),
  );
  if (runtime === undefined)
    throw new LocalError('DemoFailed', `Runtime ${fn.function.runtime.name} is not on this machine`);
  return coldStart(fn, runtime, env);
}

/** The machine must not be busy with refilling while the cold start is measured next to it. */
async function quietly<T>(measure: () => Promise<T>): Promise<T> {
  await sleep(300);
  return measure();
}

async function refilled(local: LocalCluster, name: string): Promise<void> {
  const untilMs = performance.now() + FILL_LIMIT_MS;
  while (performance.now() < untilMs) {
    const pool = local.operator.queries.pools().find((each) => each.name === name);
    if (pool !== undefined && pool.readyReplicas >= pool.replicas) return;
    await sleep(20);
  }
}

function troubles(local: LocalCluster): string {
  const messages = local.operator.pools
    .list()
    .flatMap(
      (pool) => pool.status?.conditions?.filter(({ type, status }) => type === 'Stalled' && status === 'True') ?? [],
    );
  return messages.map(({ message }) => message).join(' ');
}
