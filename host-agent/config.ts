import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { FetchBudgetOptions } from './blob/fetch-budget.ts';
import { DEFAULT_FETCH_BUDGET } from './blob/fetch-budget.ts';
import { ConfigError } from './config-error.ts';
import type { StoreConfig } from './blob/config.ts';
import { parseStore } from './blob/config.ts';
import type { S3Options } from './blob/s3-store.ts';
import { isLoopbackHost } from './core/source-address.ts';
import { DEFAULT_UNPACK_LIMITS } from './core/unpack-limits.ts';
import type { ListenAddress, TcpAddress } from './http/listen.ts';
import { parsePreparer } from './prepare/preparer-wish.ts';
import type { ApiserverOptions } from './secrets/apiserver.ts';
import { apiserverOptions } from './secrets/config.ts';

const MIB = 1024 * 1024;
const bytes = (fallback: number) => z.coerce.number().int('must be a whole number of bytes').min(1).default(fallback);
const count = (fallback: number, max: number) => z.coerce.number().int().min(1).max(max).default(fallback);
const path = z.string().min(1, 'must be a path');
const absolutePath = z.string().regex(/^\/(?!.*\/$)/, 'must be an absolute path without a "/" at its end');
/** `sun_path` has 108 bytes, the closing NUL included. */
const MAX_SOCKET_PATH_BYTES = 107;
const LONGEST_POD_SOCKET = `/${'0'.repeat(36)}/volume/watchdog.sock`;

/** Flag names in camel case: `--cache-dir` and WARMPOOL_HOST_AGENT_CACHE_DIR are `cacheDir`. */
const settingsSchema = z.object({
  /** `unix:/path` or `host:port`. */
  listen: z.string().transform(parseListen),
  nodeName: z.string().min(1).default(hostname()),
  cacheDir: path,
  podsDir: path,
  /** With --tls-dir it is in there. */
  grantKeyFile: z.string().default(''),
  /** Folder with tls.crt, tls.key, ca.crt and grant.key, replaced in place: HTTPS for the operator only. Needed off loopback. */
  tlsDir: z.string().default(''),
  /** Where /healthz, /readyz and /metrics are also served, without TLS: `host:port`. */
  opsListen: z
    .string()
    .transform((text, context) => parseListen(text, context))
    .optional(),
  /** Where host-agents of other nodes get code from this one: `host:port` at which they reach it. Without, nodes share nothing. */
  peerListen: z
    .string()
    .transform((text, context) => parseListen(text, context))
    .optional(),
  /** Code is also kept as it was fetched, for other nodes, up to this. */
  peerCacheBytes: bytes(2 * 1024 * MIB),
  /** A node that has not begun to answer by then is not waited for. */
  peerPatienceMs: count(500, 60_000),
  /** Other nodes that are sent code at once. */
  peerConnections: count(8, 1024),
  /** Sent to other nodes, all together; 0 is no limit. */
  peerBytesPerSecond: z.coerce
    .number()
    .int()
    .min(0)
    .default(128 * MIB),
  /** `folder:/path` or an s3 URL (blob/config.ts); without one, claims cannot use `code.key`. */
  store: z.string().default(''),
  cacheBytes: bytes(10 * 1024 * MIB),
  fetchConcurrency: count(8, 256),
  /** Requests to stores under way at once. */
  fetchConnections: count(DEFAULT_FETCH_BUDGET.connections, 1024),
  /** Of code that has arrived, or is about to, and is not unpacked yet. */
  fetchMemoryBytes: bytes(DEFAULT_FETCH_BUDGET.memoryBytes),
  /** Of all fetches of this node together; 0 is no limit. */
  fetchBytesPerSecond: z.coerce.number().int().min(0).default(DEFAULT_FETCH_BUDGET.bytesPerSecond),
  /** An HTTP cache in front of the s3 store, asked first: `http://host:port`. */
  mirror: z
    .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
    .transform((url) => new URL(url))
    .optional(),
  /** PEM certificates of authorities that stores, mirror and registries may be signed by, besides the well-known ones. */
  caFile: path.optional(),
  /** Who this node is to http(s) servers and registries: JSON, see blob/http-credentials.ts. */
  httpCredentialsFile: path.optional(),
  /** Holds `token` and `ca.crt` of this program's service account; without it no pool's Secret is read. */
  serviceAccountDir: absolutePath.optional(),
  /** Default: what Kubernetes tells every container (KUBERNETES_SERVICE_HOST). */
  apiserver: z.string().optional(),
  maxArchiveBytes: bytes(DEFAULT_UNPACK_LIMITS.maxArchiveBytes),
  maxUnpackedBytes: bytes(DEFAULT_UNPACK_LIMITS.maxUnpackedBytes),
  maxEntries: count(DEFAULT_UNPACK_LIMITS.maxEntries, 10_000_000),
  bodyLimitBytes: bytes(2 * MIB),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
  /** Folders below which file:// URLs may be read. Repeatable. */
  allowFileRoot: z.array(path).default([]),
  /** More buckets of the store's endpoint that claims may name. Repeatable. */
  allowS3Bucket: z.array(z.string().min(1)).default([]),
  /** http(s) sources on this node itself: for development and tests. */
  allowLoopbackSources: z.boolean().default(false),
  /** Serve CSI to the kubelet on this unix socket; it must have the same path for the kubelet. */
  csiSocket: absolutePath
    .refine((socket) => socket.length <= MAX_SOCKET_PATH_BYTES, `must have at most ${MAX_SOCKET_PATH_BYTES} bytes`)
    .optional(),
  /** Where the kubelet looks for plugins. */
  registrationDir: absolutePath.default('/var/lib/kubelet/plugins_registry'),
  kubeletDir: absolutePath.default('/var/lib/kubelet'),
  /** Also serve pods that share this folder by hostPath: for pools with `agentVolume: HostPath`. */
  hostPathDir: absolutePath.optional(),
  /** The compiled native/mount-helper.c. */
  mountHelper: absolutePath.optional(),
  /**
   * What makes a faster form of a tree (prepare/preparer.ts): a program as a JSON list of words, of which `{tree}` stands for the tree,
   * or the socket of one that serves. Repeatable; without one nothing is prepared.
   */
  preparer: z.array(z.string().transform(parsePreparer)).default([]),
  /** Exit when standard input ends: whoever started this program is gone. */
  parentLifeline: z.boolean().default(false),
});

const FLAGS = {
  listen: { type: 'string' },
  'node-name': { type: 'string' },
  'cache-dir': { type: 'string' },
  'pods-dir': { type: 'string' },
  'grant-key-file': { type: 'string' },
  'tls-dir': { type: 'string' },
  'ops-listen': { type: 'string' },
  'peer-listen': { type: 'string' },
  'peer-cache-bytes': { type: 'string' },
  'peer-patience-ms': { type: 'string' },
  'peer-connections': { type: 'string' },
  'peer-bytes-per-second': { type: 'string' },
  store: { type: 'string' },
  'cache-bytes': { type: 'string' },
  'fetch-concurrency': { type: 'string' },
  'fetch-connections': { type: 'string' },
  'fetch-memory-bytes': { type: 'string' },
  'fetch-bytes-per-second': { type: 'string' },
  mirror: { type: 'string' },
  'ca-file': { type: 'string' },
  'http-credentials-file': { type: 'string' },
  'service-account-dir': { type: 'string' },
  apiserver: { type: 'string' },
  'max-archive-bytes': { type: 'string' },
  'max-unpacked-bytes': { type: 'string' },
  'max-entries': { type: 'string' },
  'body-limit-bytes': { type: 'string' },
  'log-level': { type: 'string' },
  'allow-file-root': { type: 'string', multiple: true },
  'allow-s3-bucket': { type: 'string', multiple: true },
  'allow-loopback-sources': { type: 'boolean' },
  'csi-socket': { type: 'string' },
  'registration-dir': { type: 'string' },
  'kubelet-dir': { type: 'string' },
  'host-path-dir': { type: 'string' },
  'mount-helper': { type: 'string' },
  preparer: { type: 'string', multiple: true },
  'parent-lifeline': { type: 'boolean' },
} as const;

/** Of a node in a cluster; without it this is local mode. */
export interface ClusterConfig {
  csi?: { csiSocket: string; registrationDir: string };
  hostPathDir?: string;
  kubeletDir: string;
  mountHelper: string;
}

type Settings = Omit<z.output<typeof settingsSchema>, 'store' | 'peerListen' | 'apiserver' | 'serviceAccountDir'>;
export type HostAgentConfig = Settings & {
  store: StoreConfig;
  peerListen?: TcpAddress;
  otherBuckets: { bucket: string; options: S3Options }[];
  cluster?: ClusterConfig;
  fetchBudget: FetchBudgetOptions;
  /** Where pools' Secrets are read. */
  apiserver?: ApiserverOptions;
};
type Environment = Readonly<Record<string, string | undefined>>;

export function readConfig(): HostAgentConfig {
  return parseConfig(process.argv.slice(2), process.env);
}

/** Flags win over the environment. */
export function parseConfig(argv: string[], env: Environment): HostAgentConfig {
  const given: Record<string, unknown> = { ...fromEnvironment(env), ...fromFlags(argv) };
  const { data, error } = settingsSchema.safeParse(given);
  if (error !== undefined) {
    const [issue] = error.issues;
    const name = `--${kebabCase(String(issue?.path[0] ?? ''))}`;
    const isMissing = given[String(issue?.path[0])] === undefined;
    throw new ConfigError(isMissing ? `${name} is required` : `${name}: ${issue?.message}`);
  }
  const { store: storeText, peerListen, serviceAccountDir, apiserver: apiserverUrl, ...settings } = data;
  // kill and logs carry no grant: without TLS, whoever can connect is trusted
  if (settings.tlsDir === '' && !isLocal(settings.listen))
    throw new ConfigError('--listen: must be a loopback address or a socket without --tls-dir');
  if (settings.tlsDir === '' && settings.grantKeyFile === '') throw new ConfigError('--grant-key-file is required');
  const peers = peerAddress(peerListen, settings.tlsDir);
  const store = parseStore(storeText, env);
  if (settings.allowS3Bucket.length > 0 && store.kind !== 's3') {
    throw new ConfigError('--allow-s3-bucket needs an s3 store: --store s3://bucket?endpoint=…');
  }
  if (settings.mirror !== undefined && store.kind !== 's3') {
    throw new ConfigError('--mirror needs an s3 store to be in front of: --store s3://bucket?endpoint=…');
  }
  const options = store.kind === 's3' ? store.options : undefined;
  const otherBuckets = options === undefined ? [] : settings.allowS3Bucket.map((bucket) => ({ bucket, options }));
  const fetchBudget = {
    connections: settings.fetchConnections,
    memoryBytes: settings.fetchMemoryBytes,
    bytesPerSecond: settings.fetchBytesPerSecond,
  };
  const cluster = clusterConfig(data);
  const secrets = apiserverOptions(serviceAccountDir, apiserverUrl, env);
  return {
    ...settings,
    ...peers,
    ...secrets,
    store,
    otherBuckets,
    fetchBudget,
    ...(cluster === undefined ? {} : { cluster }),
  };
}

function peerAddress(listen: ListenAddress | undefined, tlsDir: string): { peerListen?: TcpAddress } {
  if (listen === undefined) return {};
  if (listen.kind !== 'tcp' || ['0.0.0.0', '::'].includes(listen.host))
    throw new ConfigError('--peer-listen: must be the host:port at which other nodes reach this one');
  if (tlsDir === '' && !isLocal(listen))
    throw new ConfigError('--peer-listen: must be a loopback address without --tls-dir');
  return { peerListen: listen };
}

function clusterConfig(settings: z.output<typeof settingsSchema>): ClusterConfig | undefined {
  const { csiSocket, registrationDir, kubeletDir, hostPathDir, mountHelper, podsDir } = settings;
  if (csiSocket === undefined && hostPathDir === undefined) return undefined;
  if (mountHelper === undefined) {
    throw new ConfigError('--mount-helper is required with --csi-socket or --host-path-dir');
  }
  const limitBytes = MAX_SOCKET_PATH_BYTES - LONGEST_POD_SOCKET.length;
  if (Buffer.byteLength(podsDir) > limitBytes) {
    throw new ConfigError(`--pods-dir: must have at most ${limitBytes} bytes, because sockets are reached through it`);
  }
  return {
    kubeletDir,
    mountHelper,
    ...(csiSocket === undefined ? {} : { csi: { csiSocket, registrationDir } }),
    ...(hostPathDir === undefined ? {} : { hostPathDir }),
  };
}

function fromFlags(argv: string[]): Record<string, unknown> {
  try {
    const { values } = parseArgs({ args: argv, options: FLAGS, strict: true, allowPositionals: false });
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [camelCase(name), value]));
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument …": only the first sentence helps
    const [sentence] = (error as Error).message.split(/\. |\n/);
    throw new ConfigError(`${sentence}`);
  }
}

function fromEnvironment(env: Environment): Record<string, unknown> {
  const found = Object.entries(FLAGS).flatMap(([name, flag]): [string, unknown][] => {
    const value = env[`WARMPOOL_HOST_AGENT_${name.toUpperCase().replaceAll('-', '_')}`];
    if (value === undefined || value === '') return [];
    if ('multiple' in flag) return [[camelCase(name), value.split(',')]];
    return [[camelCase(name), flag.type === 'boolean' ? value === 'true' : value]];
  });
  return Object.fromEntries(found);
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

function isLocal(listen: ListenAddress): boolean {
  return listen.kind === 'unix' || isLoopbackHost(listen.host);
}

function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}

function kebabCase(name: string): string {
  return name.replace(/([A-Z])/g, (letter) => `-${letter.toLowerCase()}`);
}
