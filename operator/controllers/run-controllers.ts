import type { ClaimLedger } from '../claims/claim-ledger.ts';
import type { NodeView } from '../claims/node-view.ts';
import { isStandbyLabelled, poolKeyOf } from '../core/pod-view.ts';
import type { Pod, WarmPool, WarmPoolClaim } from '../core/resources.ts';
import { Controller, type ControllerDeps } from '../engine/controller.ts';
import type { KubeObject } from '../engine/kube-client.ts';
import { objectKey, type ObjectStore } from '../engine/store.ts';
import type { InstanceKeeper } from './instance-keeper.ts';
import type { RefillYield } from './refill-yield.ts';
import type { WarmPoolClaimController } from './warm-pool-claim.ts';
import type { WarmPoolController } from './warm-pool.ts';

export interface ControlledParts {
  pools: ObjectStore<WarmPool>;
  pods: ObjectStore<Pod>;
  claimObjects: ObjectStore<WarmPoolClaim>;
  nodes: NodeView;
  ledger: ClaimLedger;
  warmPools: WarmPoolController;
  warmPoolClaims: WarmPoolClaimController;
  keeper: InstanceKeeper;
  refillYield: RefillYield;
}

/** Looking after a claim's pod is not urgent; its answer is, and would wait for that look. */
const AFTER_CLAIM_MS = 20;
/** A claim may take 600 s, its own longest deadline. */
const CLAIM_OBJECT_TIMEOUT_MS = 610_000;

/** Every controller and what makes it look at a key. Runs until the signal aborts and the last reconcile has ended. */
export async function runControllers(deps: ControllerDeps, parts: ControlledParts, signal: AbortSignal): Promise<void> {
  const { pools, pods, claimObjects, nodes, ledger, warmPools, warmPoolClaims, keeper, refillYield } = parts;
  const poolController = controller(
    deps,
    { name: 'warmpool', concurrency: 4 },
    async (key, context) => refillYield.holdMs(key) ?? warmPools.reconcile(key, context.signal),
  );
  const instanceController = controller(deps, { name: 'instance', concurrency: 16 }, async (key) => {
    const pod = pods.getByKey(key);
    return pod === undefined ? undefined : keeper.reconcile(pod);
  });
  const claimController = controller(
    deps,
    { name: 'warmpoolclaim', concurrency: 16, reconcileTimeoutMs: CLAIM_OBJECT_TIMEOUT_MS },
    async (key, context) => warmPoolClaims.reconcile(key, context.signal),
  );

  const stops = [
    pools.onChange((before, after) => enqueue(poolController, after ?? before)),
    claimObjects.onChange((before, after) => enqueue(claimController, after ?? before)),
    pods.onChange((before, after) => {
      const pod = after ?? before;
      if (pod === undefined) return;
      const pool = poolKeyOf(pod);
      poolController.enqueueAfter(pool, refillYield.pauseMs(pool));
      instanceController.enqueueAfter(objectKey(pod), refillYield.isLoading() ? AFTER_CLAIM_MS : 0);
    }),
    nodes.onChange((uid) => {
      const pod = pods.getByUid(uid);
      if (pod === undefined) return;
      if (isStandbyLabelled(pod)) poolController.enqueue(poolKeyOf(pod));
      else enqueue(instanceController, pod);
    }),
    ledger.onChange((entry) => {
      const pod = entry.podUid === undefined ? undefined : pods.getByUid(entry.podUid);
      if (pod !== undefined && entry.claim.state === 'ready')
        instanceController.enqueueAfter(objectKey(pod), AFTER_CLAIM_MS);
    }),
  ];
  warmPools.creation.onSettled = (key) => poolController.enqueue(key);
  for (const pool of pools.list()) enqueue(poolController, pool);
  for (const pod of pods.list()) enqueue(instanceController, pod);
  for (const object of claimObjects.list()) enqueue(claimController, object);
  await Promise.all([poolController, instanceController, claimController].map((each) => each.run(signal)));
  for (const stop of stops) stop();
}

function controller(
  deps: ControllerDeps,
  options: { name: string; concurrency: number; reconcileTimeoutMs?: number },
  reconcile: (key: string, context: { signal: AbortSignal }) => Promise<number | undefined | void>,
): Controller {
  return new Controller(deps, {
    ...options,
    reconcile: async (key, context) => ({ requeueAfterMs: (await reconcile(key, context)) ?? undefined }),
  });
}

function enqueue(target: Controller, object: KubeObject | undefined): void {
  if (object !== undefined) target.enqueue(objectKey(object));
}
