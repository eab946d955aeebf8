import { parseArgs } from 'node:util';
import type { z } from 'zod';
import type { FetchBudgetOptions } from './blob/fetch-budget.ts';
import { ConfigError } from './config-error.ts';
import type { StoreConfig } from './blob/config.ts';
import { parseStore } from './blob/config.ts';
import type { S3Options } from './blob/s3-store.ts';
import { isLoopbackHost } from './core/source-address.ts';
import type { ListenAddress, TcpAddress } from './http/listen.ts';
import type { ApiserverOptions } from './secrets/apiserver.ts';
import { apiserverOptions } from './secrets/config.ts';
import { MAX_SOCKET_PATH_BYTES, optionOf, SETTINGS, settingsSchema } from './settings.ts';

const LONGEST_POD_SOCKET = `/${'0'.repeat(36)}/volume/watchdog.sock`;

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

export const wantsHelp = (): boolean => process.argv.includes('--help');

export function readConfig(): HostAgentConfig {
  return parseConfig(process.argv.slice(2), process.env);
}

/** Flags win over the environment. */
export function parseConfig(argv: string[], env: Environment): HostAgentConfig {
  const given: Record<string, unknown> = { ...fromEnvironment(env), ...fromFlags(argv) };
  const { data, error } = settingsSchema.safeParse(given);
  if (error !== undefined) {
    const [issue] = error.issues;
    const name = `--${optionOf(String(issue?.path[0] ?? ''))}`;
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
  const options = Object.fromEntries(
    SETTINGS.map(({ option, kind }) => [
      option,
      { type: kind === 'switch' ? 'boolean' : 'string', multiple: kind === 'list' } as const,
    ]),
  );
  try {
    const { values } = parseArgs({ args: argv, options, strict: true, allowPositionals: false });
    const given = SETTINGS.filter(({ option }) => values[option] !== undefined);
    return Object.fromEntries(given.map(({ name, option }) => [name, values[option]]));
  } catch (error) {
    // "Unknown option '--x'. To specify a positional argument …": only the first sentence helps
    const [sentence] = (error as Error).message.split(/\. |\n/);
    throw new ConfigError(`${sentence}`);
  }
}

function fromEnvironment(env: Environment): Record<string, unknown> {
  const found = SETTINGS.flatMap(({ name, option, kind }): [string, unknown][] => {
    const value = env[`WARMPOOL_HOST_AGENT_${option.toUpperCase().replaceAll('-', '_')}`];
    if (value === undefined || value === '') return [];
    if (kind === 'list') return [[name, value.split(',')]];
    return [[name, kind === 'switch' ? value === 'true' : value]];
  });
  return Object.fromEntries(found);
}

function isLocal(listen: ListenAddress): boolean {
  return listen.kind === 'unix' || isLoopbackHost(listen.host);
}
