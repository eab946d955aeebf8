import type { z } from 'zod';
import { API_GROUP, API_VERSION } from '../names.ts';
import {
  warmPoolClaimSpecSchema,
  warmPoolClaimStatusSchema,
  warmPoolSpecSchema,
  warmPoolStatusSchema,
} from '../warm-pool.ts';
import { toStructural, type StructuralSchema } from './structural.ts';

interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'date';
  jsonPath: string;
  description?: string;
  /** Above 0: shown with `-o wide` only. */
  priority?: number;
}

export interface CustomResourceDefinition {
  apiVersion: 'apiextensions.k8s.io/v1';
  kind: 'CustomResourceDefinition';
  metadata: { name: string };
  spec: object;
}

interface Kind {
  kind: string;
  plural: string;
  shortName: string;
  description: string;
  spec: z.ZodType;
  status: z.ZodType;
  subresources: object;
  columns: PrinterColumn[];
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

const WARM_POOL: Kind = {
  kind: 'WarmPool',
  plural: 'warmpools',
  shortName: 'wp',
  description: 'A pool of standby pods with pre-booted interpreters, all of one runtime.',
  spec: warmPoolSpecSchema,
  status: warmPoolStatusSchema,
  subresources: {
    status: {},
    scale: {
      specReplicasPath: '.spec.replicas',
      statusReplicasPath: '.status.replicas',
      labelSelectorPath: '.status.selector',
    },
  },
  columns: [
    { name: 'Runtime', type: 'string', jsonPath: '.spec.runtime.name' },
    { name: 'Version', type: 'string', jsonPath: '.spec.runtime.version' },
    { name: 'Desired', type: 'integer', jsonPath: '.spec.replicas', description: 'Standby pods wanted.' },
    {
      name: 'Standby',
      type: 'integer',
      jsonPath: '.status.readyReplicas',
      description: 'Standby pods that a claim can take now.',
    },
    { name: 'Claimed', type: 'integer', jsonPath: '.status.claimedReplicas' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Recommended', type: 'integer', jsonPath: '.status.recommendedReplicas', priority: 1 },
    AGE,
  ],
};

const WARM_POOL_CLAIM: Kind = {
  kind: 'WarmPoolClaim',
  plural: 'warmpoolclaims',
  shortName: 'wpc',
  description: 'One claim: takes a standby pod out of a pool for good and runs one function version in it.',
  spec: warmPoolClaimSpecSchema,
  status: warmPoolClaimStatusSchema,
  subresources: { status: {} },
  columns: [
    { name: 'Pool', type: 'string', jsonPath: '.spec.poolName' },
    { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
    { name: 'Pod', type: 'string', jsonPath: '.status.podName' },
    { name: 'Source', type: 'string', jsonPath: '.status.source' },
    { name: 'Address', type: 'string', jsonPath: '.status.address', priority: 1 },
    { name: 'Node', type: 'string', jsonPath: '.status.nodeName', priority: 1 },
    AGE,
  ],
};

/** By file name in `crds/`. */
export function customResourceDefinitions(): Record<string, CustomResourceDefinition> {
  return Object.fromEntries([WARM_POOL, WARM_POOL_CLAIM].map((kind) => [`${kind.plural}.yaml`, definitionOf(kind)]));
}

function definitionOf(kind: Kind): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${API_GROUP}` },
    spec: {
      group: API_GROUP,
      scope: 'Namespaced',
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames: [kind.shortName],
      },
      versions: [
        {
          name: API_VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: objectSchema(kind) },
          subresources: kind.subresources,
          additionalPrinterColumns: kind.columns,
        },
      ],
    },
  };
}

function objectSchema(kind: Kind): StructuralSchema {
  return {
    type: 'object',
    description: kind.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      // The name becomes a label's value and part of pod names.
      metadata: {
        type: 'object',
        properties: { name: { type: 'string', maxLength: 63, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' } },
      },
      spec: toStructural(kind.spec),
      status: toStructural(kind.status),
    },
  };
}
