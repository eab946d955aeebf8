import { claimRequestSchema, type Claim, type ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { describeProblems, fieldProblems } from '@warmpool/protocol/errors.ts';
import { API_GROUP, API_VERSION } from '@warmpool/protocol/names.ts';
import type { WarmPoolClaimStatus } from '@warmpool/protocol/warm-pool.ts';
import { setCondition } from '../engine/conditions.ts';
import type { Clock } from '../engine/clock.ts';
import { TerminalError } from '../engine/controller.ts';
import { isKubeError, type KubeClient, type OwnerReference, type Stored } from '../engine/kube-client.ts';
import type { ObjectStore } from '../engine/store.ts';
import { SECRETS, WARM_POOL_CLAIMS, type Secret, type WarmPoolClaim } from '../core/resources.ts';
import { ClaimError } from '../errors.ts';
import type { ClaimLedger } from '../claims/claim-ledger.ts';
import type { ClaimService } from '../claims/claim-service.ts';

export interface WarmPoolClaimControllerDeps {
  clock: Clock;
  kube: KubeClient;
  claimObjects: ObjectStore<WarmPoolClaim>;
  claims: ClaimService;
  ledger: ClaimLedger;
}

/**
 * A WarmPoolClaim object ends in the same claim as the API's, under a claim id made from its uid. Its pod is owned by it, so deleting
 * the object deletes the pod.
 */
export class WarmPoolClaimController {
  readonly #deps: WarmPoolClaimControllerDeps;

  constructor(deps: WarmPoolClaimControllerDeps) {
    this.#deps = deps;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<void> {
    const object = this.#deps.claimObjects.getByKey(key);
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return;
    const namespace = object.metadata.namespace ?? '';
    const phase = object.status?.phase;
    if (phase === 'Failed' || phase === 'Released') return;
    const entry = this.#deps.ledger.get(namespace, claimIdOf(object));
    if (phase === 'Ready' && entry !== undefined && entry.claim.state === 'ready') return;
    if (phase === 'Ready' && entry?.claim.state === 'released')
      return this.#write(object, { phase: 'Released' }, 'Released', 'the instance was released');
    try {
      const claim = await this.#deps.claims.claim(
        namespace,
        object.spec.poolName,
        await this.#request(object),
        signal,
        ownerReference(object),
      );
      await this.#write(object, readyStatus(claim), 'Ready', 'the instance serves');
    } catch (error) {
      if (!(error instanceof ClaimError)) throw error;
      // its instance serves on, as far as anybody knows
      if (phase === 'Ready' && error.code === 'HostAgentUnavailable') throw error;
      const isTemporary = error.statusCode === 429 || error.statusCode === 503 || error.statusCode === 502;
      await this.#write(object, { phase: isTemporary ? 'Queued' : 'Failed' }, error.code, error.message);
      if (isTemporary) throw error;
    }
  }

  async #request(object: Stored<WarmPoolClaim>): Promise<ReturnType<typeof claimRequestSchema.parse>> {
    const { spec } = object;
    const input: ClaimRequestInput = {
      claimId: claimIdOf(object),
      function: spec.function,
      code: spec.code,
      kind: spec.kind,
      handler: spec.handler,
      env: await this.#env(object),
      service: spec.service ?? {},
      limits: { requestTimeoutMs: spec.requestTimeoutMs, initTimeoutMs: spec.initTimeoutMs },
      deadlineMs: spec.deadlineSeconds * 1000,
      ...(spec.resources !== undefined && { resources: spec.resources }),
      ...(spec.ttlSeconds !== undefined && { ttlSeconds: spec.ttlSeconds }),
      ...(spec.idleTimeoutSeconds !== undefined && { idleTimeoutSeconds: spec.idleTimeoutSeconds }),
    };
    const parsed = claimRequestSchema.safeParse(input);
    if (parsed.success) return parsed.data;
    throw new ClaimError('InvalidRequest', 400, describeProblems(fieldProblems(parsed.error)));
  }

  async #env(object: Stored<WarmPoolClaim>): Promise<Record<string, string>> {
    const env: Record<string, string> = {};
    for (const { secretName } of object.spec.envFrom) {
      const secret = await this.#secret(object.metadata.namespace ?? '', secretName);
      for (const [name, value] of Object.entries(secret.data ?? {}))
        env[name] = Buffer.from(value, 'base64').toString('utf8');
    }
    return env;
  }

  async #secret(namespace: string, name: string): Promise<Secret> {
    try {
      return await this.#deps.kube.get<Secret>(SECRETS, namespace, name);
    } catch (error) {
      if (isKubeError(error, 404))
        throw new ClaimError('SecretNotFound', 404, `there is no secret ${name} in namespace ${namespace}`);
      // until somebody lets it: the claim stays in line
      if (isKubeError(error, 403)) {
        const message = `secret ${name} in namespace ${namespace} may not be read by the operator: a Role there has to name it (docs/install.md)`;
        throw new ClaimError('SecretForbidden', 503, message);
      }
      throw error;
    }
  }

  async #write(
    object: Stored<WarmPoolClaim>,
    change: WarmPoolClaimStatus,
    reason: string,
    message: string,
  ): Promise<void> {
    const status = change.phase === 'Ready' ? ('True' as const) : ('False' as const);
    const update = { type: 'Ready', status, reason, message, observedGeneration: object.metadata.generation ?? 0 };
    const before = object.status?.conditions ?? [];
    const conditions = setCondition(before, update, this.#deps.clock.now());
    if (conditions === before && object.status?.phase === change.phase) return;
    try {
      await this.#deps.kube.patchStatus(WARM_POOL_CLAIMS, object.metadata.namespace ?? '', object.metadata.name, {
        status: { ...change, conditions },
      });
    } catch (error) {
      if (isKubeError(error, 404)) throw new TerminalError('the claim object was deleted');
      throw error;
    }
  }
}

/** Unique over time: a new object of the same name is a new claim. */
function claimIdOf(object: Stored<WarmPoolClaim>): string {
  return `wpc-${object.metadata.uid.toLowerCase()}`.slice(0, 63);
}

function ownerReference(object: Stored<WarmPoolClaim>): OwnerReference {
  const { name, uid } = object.metadata;
  return {
    apiVersion: `${API_GROUP}/${API_VERSION}`,
    kind: 'WarmPoolClaim',
    name,
    uid,
    controller: true,
    blockOwnerDeletion: false,
  };
}

function readyStatus(claim: Claim): WarmPoolClaimStatus {
  return {
    phase: 'Ready',
    ...(claim.pod && { podName: claim.pod.name, podUid: claim.pod.uid, nodeName: claim.pod.node }),
    ...(claim.address && { address: claim.address.url }),
    ...(claim.source && { source: claim.source }),
    ...(claim.readyAt !== undefined && { readyAt: claim.readyAt }),
  };
}
