import { claimRequestSchema, type ClaimRequest, type ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { warmPoolSpecSchema } from '@warmpool/protocol/warm-pool.ts';
import type { z } from 'zod';
import type { WarmPool } from '@warmpool/operator/core/resources.ts';

/** Objects for tests: valid as they are, and as different as a test says. */

type SpecInput = Partial<z.input<typeof warmPoolSpecSchema>>;

export function aPool(name = 'nodejs', spec: SpecInput = {}): WarmPool {
  return {
    apiVersion: 'warmpool.dev/v1alpha1',
    kind: 'WarmPool',
    metadata: { name, namespace: 'default' },
    spec: warmPoolSpecSchema.parse({
      runtime: { name: 'nodejs', version: '24' },
      replicas: 3,
      template: { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24' }] } },
      ...spec,
    }),
  };
}

export const SOME_DIGEST = `sha256:${'ab'.repeat(32)}`;

export function aClaimInput(claimId: string, change: Partial<ClaimRequestInput> = {}): ClaimRequestInput {
  return {
    claimId,
    function: { name: 'hello', version: '1', tenant: 'acme' },
    code: { key: 'functions/hello.tar.zst', digest: SOME_DIGEST, format: 'tar.zst' },
    handler: 'index.handler',
    ...change,
  };
}

export function aClaim(claimId: string, change: Partial<ClaimRequestInput> = {}): ClaimRequest {
  return claimRequestSchema.parse(aClaimInput(claimId, change));
}
