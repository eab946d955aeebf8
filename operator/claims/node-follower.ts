import type { Clock } from '../engine/clock.ts';
import { sleep } from '../engine/clock.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';
import type { Log } from '../engine/log.ts';
import type { HostAgentClient } from './host-agent-client.ts';
import type { NodeView } from './node-view.ts';

/**
 * A host-agent that says nothing for this long, not even PING (every 2 s), is taken for gone: its pods are not offered, and loads that are on
 * their way there fail, so that their claims go on elsewhere.
 */
const SILENCE_LIMIT_MS = 6_000;
/** The last part of it: a process that stood still finds its timers due before it has read what was said meanwhile. */
const SECOND_LOOK_MS = 500;

export interface NodeFollowerDeps {
  clock: Clock;
  random: Random;
  hostAgents: HostAgentClient;
  view: NodeView;
  log: Log;
}

/**
 * Keeps the view of one node up to date, for as long as `signal` says; starts anew, with a snapshot, when the present `reconnect`
 * aborts. Never rejects.
 */
export async function followNode(
  deps: NodeFollowerDeps,
  node: string,
  signal: AbortSignal,
  reconnect: () => AbortSignal,
): Promise<void> {
  const { clock, random, view, log } = deps;
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await readEvents(deps, node, AbortSignal.any([signal, reconnect()]), () => (failures = 0));
    } catch (error) {
      if (!signal.aborted) log.debug({ node, err: error }, 'host-agent stream broke');
    }
    view.silence(node);
    await sleep(clock, jitteredBackoffMs(failures, 50, 2_000, random), signal).catch(() => undefined);
  }
}

async function readEvents(
  deps: NodeFollowerDeps,
  node: string,
  signal: AbortSignal,
  onHeard: () => void,
): Promise<void> {
  const silence = new AbortController();
  let cancelTimer = (): void => undefined;
  const rewind = (): void => {
    cancelTimer();
    cancelTimer = deps.clock.after(SILENCE_LIMIT_MS - SECOND_LOOK_MS, () => {
      cancelTimer = deps.clock.after(SECOND_LOOK_MS, giveUp);
    });
  };
  const giveUp = (): void => {
    silence.abort(new Error(`node ${node} was silent for ${SILENCE_LIMIT_MS} ms`));
    // before the loads fail: nobody shall wait for a kill that goes there
    deps.view.silence(node);
    deps.hostAgents.reset(node);
  };
  rewind();
  try {
    for await (const event of deps.hostAgents.events(node, AbortSignal.any([signal, silence.signal]))) {
      rewind();
      onHeard();
      deps.view.apply(node, event);
    }
  } finally {
    cancelTimer();
  }
}
