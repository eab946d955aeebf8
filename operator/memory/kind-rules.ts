import type { Resource } from '../engine/kube-client.ts';
import type { JsonObject } from './json.ts';
import { leaseRules } from './lease-rules.ts';
import { eventRules } from './event-rules.ts';
import { podRules } from './pod-rules.ts';
import { warmPoolClaimRules, warmPoolRules } from './warm-pool-rules.ts';

/** An object with defaults filled in, or what is wrong with it, field by field. */
export interface Admission {
  object: JsonObject;
  problems: readonly string[];
}

/** What an apiserver does differently from one kind to the next. */
export interface KindRules {
  /** Status is written through its own subresource, and only there. */
  readonly hasStatus: boolean;
  /** A patch of the status may change labels and annotations along with it. */
  readonly statusCarriesMetadata?: boolean;
  /** `metadata.generation` counts the changes of everything but metadata and status. */
  readonly hasGeneration: boolean;
  /** Deletion waits for somebody (the kubelet) to finish it. */
  readonly deletesGracefully: boolean;
  admitCreate?(object: JsonObject): Admission;
  admitUpdate?(before: JsonObject, after: JsonObject): Admission;
  admitStatus?(after: JsonObject): Admission;
}

const plainRules: KindRules = { hasStatus: false, hasGeneration: false, deletesGracefully: false };

export function rulesOf(resource: Resource): KindRules {
  switch (`${resource.plural}.${resource.group}`) {
    case 'pods.':
      return podRules;
    case 'warmpools.warmpool.dev':
      return warmPoolRules;
    case 'warmpoolclaims.warmpool.dev':
      return warmPoolClaimRules;
    case 'leases.coordination.k8s.io':
      return leaseRules;
    case 'events.events.k8s.io':
      return eventRules;
    default:
      return plainRules;
  }
}
