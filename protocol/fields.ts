import { z } from 'zod';

/** Field schemas shared by several contracts. Messages are written for the person who sent the field. */

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

export type ClaimId = Brand<string, 'ClaimId'>;
export type PodUid = Brand<string, 'PodUid'>;
/** `sha256:` and 64 lower-case hex digits. */
export type Digest = Brand<string, 'Digest'>;

const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const dnsLabelMessage = 'must be 1 to 63 lower-case letters, digits or "-", starting and ending with a letter or digit';

/** For enums: zod words a missing one like a wrong one. Undefined leaves its own message. */
const requiredWhenMissing = (issue: { input?: unknown }): string | undefined =>
  issue.input === undefined ? 'is required' : undefined;

export const claimIdSchema = z
  .string()
  .regex(dnsLabel, dnsLabelMessage)
  .transform((value) => value as ClaimId);
export const podUidSchema = z
  .string()
  .regex(/^[A-Za-z0-9-]{1,64}$/, 'must be a pod uid: 1 to 64 letters, digits or "-"')
  .transform((value) => value as PodUid);
export const digestSchema = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" followed by 64 lower-case hex digits')
  .transform((value) => value as Digest);
export const namespaceSchema = z.string().regex(dnsLabel, dnsLabelMessage);
export const poolNameSchema = z.string().regex(dnsLabel, dnsLabelMessage);

export const requestIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,128}$/, 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"');

/** Who and what an instance belongs to. The pair (tenant, name, version) is what reuse compares. */
export const functionSchema = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(253)
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._/-]*$/,
      'must start with a letter or digit and hold only letters, digits, ".", "_", "/" and "-"',
    ),
  version: z
    .string()
    .min(1)
    .max(128)
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._+-]*$/,
      'must start with a letter or digit and hold only letters, digits, ".", "_", "+" and "-"',
    ),
  tenant: z.string().regex(dnsLabel, dnsLabelMessage),
});
export type FunctionIdentity = z.output<typeof functionSchema>;

export const runtimeSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 lower-case letters, digits or "-", starting with a letter'),
  version: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$/, 'must be 1 to 32 letters, digits, ".", "_" or "-"'),
});
export type Runtime = z.output<typeof runtimeSchema>;

/**
 * `handler`: an exported function, called once per request. `http`: a module that starts its own server on `$PORT`, or an app
 * object that the runtime serves there.
 */
export const functionKindSchema = z.enum(['handler', 'http'], { error: requiredWhenMissing });

/**
 * For kind `handler` `<module>.<export>` (`index.handler`, `src/main.run`); for kind `http` the module's file (`server.js`) or,
 * where the runtime can serve one, the app object `<module>:<object>` (`app:app`).
 */
export const handlerSchema = z
  .string()
  .min(1)
  .max(256)
  .regex(
    /^[A-Za-z0-9_@][A-Za-z0-9_./@-]*(:[A-Za-z_][A-Za-z0-9_.]*)?$/,
    'must be a relative path inside the code, for example "index.handler", "server.js" or "app:app"',
  )
  .refine((value) => !value.split('/').includes('..'), 'must not contain ".."');

const ENV_LIMIT_BYTES = 256 * 1024;
export const envSchema = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, 'must be a name of letters, digits and "_", not starting with a digit'),
    z
      .string()
      .max(32 * 1024)
      .refine((value) => !value.includes('\0'), 'must not contain a NUL character'),
  )
  .refine((env) => Object.keys(env).length <= 1000, 'must not hold more than 1000 variables')
  .refine(
    (env) => Object.entries(env).reduce((sum, [name, value]) => sum + name.length + value.length, 0) <= ENV_LIMIT_BYTES,
    `must not be larger than ${ENV_LIMIT_BYTES} characters in all`,
  );

/** Free-form facts about the service, visible to the function as `context.service`. Not secret. */
export const serviceMetadataSchema = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'must be 1 to 128 letters, digits, ".", "_", "/" or "-"'),
    z.string().max(1024),
  )
  .refine((service) => Object.keys(service).length <= 64, 'must not hold more than 64 entries');

export const codeFormatSchema = z.enum(['tar', 'tar.gz', 'tar.zst', 'zip', 'file'], { error: requiredWhenMissing });
export type CodeFormat = z.output<typeof codeFormatSchema>;

/** Where code is and what its bytes must hash to. Exactly one of `url` and `key` (an object of the default store). */
export const codeSchema = z
  .strictObject({
    url: z
      .string()
      .max(2048)
      .regex(
        /^(s3|https?|file|oci):\/\/\S+$/,
        'must be an s3://bucket/key, http(s)://, oci://registry/repository or file:// URL',
      )
      .refine((value) => URL.canParse(value), 'must be a valid URL')
      .optional(),
    key: z
      .string()
      .min(1)
      .max(1024)
      .regex(/^[^\s\0]+$/, 'must not contain white space')
      .refine(
        (value) => !value.split('/').some((part) => part === '..' || part === '.' || part === ''),
        'must be an object key without empty, "." or ".." segments',
      )
      .optional(),
    digest: digestSchema,
    format: codeFormatSchema,
    /** Only for format `file`: the name the file gets in the code folder. */
    fileName: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'must be a plain file name')
      .optional(),
  })
  .refine((code) => (code.url === undefined) !== (code.key === undefined), {
    error: 'exactly one of url and key must be given',
    path: ['url'],
  })
  .refine((code) => (code.format === 'file') === (code.fileName !== undefined), {
    error: 'must be given for format "file", and only then',
    path: ['fileName'],
  });
export type CodeReference = z.output<typeof codeSchema>;

export const concurrencySchema = z.int().min(1).max(1000);

/** What a claim asks of its pod beyond what the pool gives every standby pod. */
export const resourcesSchema = z.strictObject({
  /** As Kubernetes writes it. Where the cluster can, the pod's CPU is raised to this in place, beside the load. */
  cpu: z
    .string()
    .max(10)
    .regex(
      /^([1-9][0-9]*m|[1-9][0-9]*(\.[0-9]{1,3})?|0\.[0-9]{1,3})$/,
      'must be an amount of CPU, for example "500m" or "2"',
    ),
});

export const limitsSchema = z.strictObject({
  /** One request may run this long. */
  requestTimeoutMs: z.int().min(1).max(900_000).default(30_000),
  /** Importing the module (and listening, for `http`) may take this long. */
  initTimeoutMs: z.int().min(1).max(300_000).default(10_000),
  /** Requests that one instance runs at once; absent means one. */
  concurrency: concurrencySchema.optional(),
});
