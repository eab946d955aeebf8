import type { Logger } from 'pino';
import { sleep } from '@warmpool/operator/engine/clock.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { isKubeError } from '@warmpool/operator/engine/kube-client.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import { jitteredBackoffMs } from '@warmpool/operator/engine/random.ts';
import type { Random } from '@warmpool/operator/engine/random.ts';
import { PODS } from '@warmpool/operator/core/resources.ts';
import type { Pod } from '@warmpool/operator/core/resources.ts';

const WATCH_SECONDS = 300;

export interface PodWatchDeps {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Pick<Logger, 'warn'>;
}

export interface PodObserver {
  onPod(pod: Stored<Pod>): void;
  onGone(uid: string): void;
  /** After a list: pods that are not in it are gone. */
  onList(uids: ReadonlySet<string>): void;
}

/** Tells `observer` of all pods until `signal` aborts. Never rejects: a watch that breaks begins again with a list. */
export async function watchPods(deps: PodWatchDeps, observer: PodObserver, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    try {
      let resourceVersion = await listPods(deps.client, observer, signal);
      while (!signal.aborted) {
        const options = { resourceVersion, timeoutSeconds: WATCH_SECONDS, signal };
        for await (const event of deps.client.watch<Pod>(PODS, undefined, options)) {
          failures = 0;
          if (event.type === 'BOOKMARK') {
            resourceVersion = event.resourceVersion;
            continue;
          }
          resourceVersion = event.object.metadata.resourceVersion;
          if (event.type === 'DELETED') observer.onGone(event.object.metadata.uid);
          else observer.onPod(event.object);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isKubeError(error, 410)) deps.log.warn({ err: error }, 'watching pods failed; listing them again');
      await sleep(deps.clock, jitteredBackoffMs(failures, 50, 5000, deps.random), signal).catch(() => undefined);
      failures += 1;
    }
  }
}

async function listPods(client: KubeClient, observer: PodObserver, signal: AbortSignal): Promise<string> {
  const uids = new Set<string>();
  let next: string | undefined;
  for (;;) {
    const page = await client.list<Pod>(PODS, undefined, { limit: 500, signal, ...(next && { continue: next }) });
    for (const pod of page.items) {
      uids.add(pod.metadata.uid);
      observer.onPod(pod);
    }
    next = page.continue;
    if (next === undefined || next === '') {
      observer.onList(uids);
      return page.resourceVersion;
    }
  }
}
