import { z } from 'zod';
import { functionKindSchema, functionSchema } from './fields.ts';

/**
 * What a claimed pod says about its claim, as JSON in an annotation, so that a restarted operator can go on. Everybody who may read
 * pods can read it: no env value, no URL (it may be signed), no service metadata.
 */
export const claimRecordSchema = z.object({
  claimId: z.string(),
  /** The claim id that the process in the pod was loaded for: another one, if the instance is reused. */
  loadedAs: z.string(),
  function: functionSchema,
  kind: functionKindSchema,
  digest: z.string(),
  /** Of everything in the request but env values: a retry with another body is told from a replay. */
  fingerprint: z.string(),
  fence: z.int(),
  source: z.enum(['standby', 'cold']),
  claimedAtUnixMs: z.number(),
  /** A load that is not over by then never will be. */
  loadDeadlineUnixMs: z.number(),
  ttlSeconds: z.int(),
  idleTimeoutSeconds: z.int(),
});
export type ClaimRecord = z.output<typeof claimRecordSchema>;
