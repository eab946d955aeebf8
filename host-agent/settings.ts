import { hostname } from 'node:os';
import { z } from 'zod';
import { DEFAULT_FETCH_BUDGET } from './blob/fetch-budget.ts';
import { DEFAULT_UNPACK_LIMITS } from './core/unpack-limits.ts';
import type { ListenAddress } from './http/listen.ts';
import { parsePreparer } from './prepare/preparer-wish.ts';

const MIB = 1024 * 1024;
/** `sun_path` has 108 bytes, the closing NUL included. */
export const MAX_SOCKET_PATH_BYTES = 107;

const bytes = (fallback: number) => z.coerce.number().int('must be a whole number of bytes').min(1).default(fallback);
const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);
const perSecond = (fallback: number) => z.coerce.number().int().min(0).default(fallback);
const path = z.string().min(1, 'must be a path');
const absolutePath = z.string().regex(/^\/(?!.*\/$)/, 'must be an absolute path without a "/" at its end');
const address = z.string().transform(parseListen);

/** What this program can be told, under flag names in camel case: `--cache-dir` and WARMPOOL_HOST_AGENT_CACHE_DIR are `cacheDir`. */
export const settingsSchema = z.object({
  listen: address.describe('the API: unix:/path or host:port; needed'),
  opsListen: address
    .optional()
    .describe('where /healthz, /readyz and /metrics are also served, without TLS: host:port'),
  nodeName: z
    .string()
    .min(1)
    .optional()
    .transform(orHostname)
    .describe('of this node in Kubernetes; default: the name of this machine'),
  grantKeyFile: z.string().default('').describe('key that load grants are signed with; in --tls-dir if there is one'),
  tlsDir: z
    .string()
    .default('')
    .describe(
      'tls.crt, tls.key, ca.crt, grant.key, replaced in place: HTTPS for the operator only; needed off loopback',
    ),
  logLevel: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
    .default('info')
    .describe('fatal, error, warn, info, debug or silent'),
  bodyLimitBytes: bytes(2 * MIB).describe('of a request to this API'),

  podsDir: path.describe('where the pods of this node have their folders; needed'),
  cacheDir: path.describe('where fetched code is kept; needed'),
  cacheBytes: bytes(10 * 1024 * MIB).describe('of code that is kept, unpacked'),

  store: z.string().default('').describe('folder:/path or s3://bucket?endpoint=…; without, claims cannot use code.key'),
  mirror: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
    .transform((url) => new URL(url))
    .optional()
    .describe('an HTTP cache in front of the s3 store, asked first: http://host:port'),
  allowS3Bucket: z.array(z.string().min(1)).default([]).describe("more buckets of the store's endpoint for claims"),
  allowFileRoot: z.array(path).default([]).describe('a folder below which file:// URLs may be read'),
  allowLoopbackSources: z.boolean().default(false).describe('http(s) sources on this node itself: for development'),
  caFile: path
    .optional()
    .describe('PEM, authorities that stores, mirror and registries may be signed by, besides the well-known ones'),
  httpCredentialsFile: path.optional().describe('JSON, who this node is to http(s) servers and registries'),
  serviceAccountDir: absolutePath
    .optional()
    .describe("token and ca.crt of this program's service account; without, no pool's Secret is read"),
  apiserver: z.string().optional().describe('where Secrets are read; default: what Kubernetes tells every container'),

  fetchConcurrency: count(8, 256).describe('code objects that are fetched at once'),
  fetchConnections: count(DEFAULT_FETCH_BUDGET.connections, 1024).describe('requests to stores under way at once'),
  fetchMemoryBytes: bytes(DEFAULT_FETCH_BUDGET.memoryBytes).describe('of code that arrives and is not unpacked yet'),
  fetchBytesPerSecond: perSecond(DEFAULT_FETCH_BUDGET.bytesPerSecond).describe('of all fetches together; 0: no limit'),
  maxArchiveBytes: bytes(DEFAULT_UNPACK_LIMITS.maxArchiveBytes).describe('of one archive as it is fetched'),
  maxUnpackedBytes: bytes(DEFAULT_UNPACK_LIMITS.maxUnpackedBytes).describe('of one archive, unpacked'),
  maxEntries: count(DEFAULT_UNPACK_LIMITS.maxEntries, 10_000_000).describe('files, folders and links in one archive'),

  peerListen: address
    .optional()
    .describe(
      'where other nodes get code from this one: host:port at which they reach it; without, nodes share nothing',
    ),
  peerCacheBytes: bytes(2 * 1024 * MIB).describe('of code that is kept as it was fetched, for other nodes'),
  peerPatienceMs: count(500, 60_000).describe('a node that has not begun to answer by then is not waited for'),
  peerConnections: count(8, 1024).describe('other nodes that are sent code at once'),
  peerBytesPerSecond: perSecond(128 * MIB).describe('sent to other nodes, all together; 0: no limit'),

  csiSocket: absolutePath
    .refine((socket) => socket.length <= MAX_SOCKET_PATH_BYTES, `must have at most ${MAX_SOCKET_PATH_BYTES} bytes`)
    .optional()
    .describe('serve CSI to the kubelet on this unix socket; it must have the same path for the kubelet'),
  registrationDir: absolutePath
    .default('/var/lib/kubelet/plugins_registry')
    .describe('where the kubelet finds plugins'),
  kubeletDir: absolutePath.default('/var/lib/kubelet').describe("the kubelet's own folder"),
  hostPathDir: absolutePath.optional().describe('also serve pods that share this folder: agentVolume: HostPath'),
  mountHelper: absolutePath.optional().describe('the compiled native/mount-helper.c; needed with the two above'),
  preparer: z
    .array(z.string().transform(parsePreparer))
    .default([])
    .describe(
      'what prepares code: a JSON list of words in which {tree} stands for the tree, or the socket of one that serves',
    ),
  parentLifeline: z.boolean().default(false).describe('end when standard input ends: whoever started this is gone'),
});

type SettingName = keyof typeof settingsSchema.shape;

export interface Setting {
  name: SettingName;
  /** The name in kebab case: of the flag `--option`. */
  option: string;
  /** How it is given: `--option`, `--option VALUE`, or `--option VALUE` any number of times. */
  kind: 'switch' | 'value' | 'list';
}

export const SETTINGS = (Object.keys(settingsSchema.shape) as SettingName[]).map((name): Setting => ({
  name,
  option: optionOf(name),
  kind: kindOf(name),
}));

export function optionOf(name: string): string {
  return name.replace(/([A-Z])/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Every setting with what it is for and what it is when nobody sets it. */
export function usage(): string {
  const width = Math.max(...SETTINGS.map(({ option }) => option.length));
  const lines = SETTINGS.map((setting) => {
    const words = settingsSchema.shape[setting.name].description;
    return `  --${setting.option.padEnd(width)}  ${[words, ...inWords(setting)].join('; ')}`;
  });
  const head =
    'usage: host-agent --listen ADDRESS --cache-dir DIR --pods-dir DIR (--tls-dir DIR | --grant-key-file FILE) [options]';
  return [
    head,
    ...lines,
    'Each can also be set as WARMPOOL_HOST_AGENT_…, for example WARMPOOL_HOST_AGENT_CACHE_DIR.',
  ].join('\n');
}

function kindOf(name: SettingName): Setting['kind'] {
  const schema = settingsSchema.shape[name];
  if (!(schema instanceof z.ZodDefault)) return 'value';
  const { innerType } = schema.def;
  if (innerType instanceof z.ZodBoolean) return 'switch';
  return innerType instanceof z.ZodArray ? 'list' : 'value';
}

function inWords({ name, kind }: Setting): string[] {
  if (kind === 'list') return ['repeatable'];
  const schema = settingsSchema.shape[name];
  const value = schema instanceof z.ZodDefault ? schema.def.defaultValue : '';
  return typeof value === 'number' || (typeof value === 'string' && value !== '') ? [`default ${value}`] : [];
}

function orHostname(name: string | undefined): string {
  return name ?? hostname();
}

function parseListen(text: string, context: z.core.$RefinementCtx<string>): ListenAddress {
  if (text.startsWith('unix:') && text.length > 'unix:'.length) return { kind: 'unix', path: text.slice(5) };
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const host = (match?.[1] ?? '').replace(/^\[|\]$/g, '');
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    context.addIssue('must be unix:/path or host:port');
    return z.NEVER;
  }
  return { kind: 'tcp', host, port };
}
