import { z } from 'zod';
import { namespaceSchema } from './fields.ts';

const secretName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be the name of a Secret: lower-case letters, digits, "-" and "."');

/** A bucket, its endpoint and how it is addressed; nothing about who may read it. */
const store = z
  .string()
  .max(512)
  .regex(
    /^s3:\/\/[a-z0-9][a-z0-9.-]{1,62}\?endpoint=https?:\/\/[A-Za-z0-9.:[\]_/-]+(&(region=[a-z0-9-]{1,32}|addressing=(path|virtual)))*$/,
    'must be s3://bucket?endpoint=https://host, with region and addressing where they are needed',
  );

/** `spec.code` of a WarmPool. In a shape that becomes a structural schema, as all of warm-pool.ts. */
export const poolCodeSchema = z.object({
  credentials: z
    .object({
      secretName: secretName.describe(
        'A Secret of the pool’s namespace. Only host-agents read it: docs/code-delivery.md has its keys.',
      ),
    })
    .describe('With what the code of this pool’s claims is fetched, instead of what the host-agents were given.'),
  store: store
    .optional()
    .describe(
      'Of code.key, instead of the host-agents’ own: s3://bucket?endpoint=https://host[&region=…][&addressing=path|virtual].',
    ),
});

/** The same for one load: a Secret by reference, never what is in it. */
export const codeAccessSchema = z.strictObject({
  /** Of the pool, and so of the Secret. */
  namespace: namespaceSchema,
  secretName,
  store: store.optional(),
});
export type CodeAccess = z.output<typeof codeAccessSchema>;
