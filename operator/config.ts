import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { z } from 'zod';

/** The only place that reads argv and env. */

const address = z.string().regex(/^[^\s:]*:\d{1,5}$/, 'must be host:port or :port');

const configSchema = z.object({
  kubeconfig: z.string().min(1).optional(),
  listen: address,
  'metrics-bind-address': address,
  'leader-elect': z.boolean(),
  'leader-election-namespace': z.string().min(1),
  'host-agent': z.array(
    z.string().regex(/^[^=]+=(unix:\/|https?:\/\/).+$/, 'must be <node>=unix:/path or <node>=http(s)://host:port'),
  ),
  'host-agent-namespace': z.string().min(1).optional(),
  'host-agent-port': z.coerce.number().int().min(1).max(65_535),
  'grant-key-file': z.string().min(1).optional(),
  auth: z.enum(['kubernetes', 'none']),
  audience: z.array(z.string().min(1)).min(1),
  'pod-name': z.string().min(1).optional(),
  'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']),
  'drain-seconds': z.coerce.number().int().min(0).max(300),
});

export interface OperatorConfig {
  kubeconfig: string | undefined;
  listen: { host: string; port: number };
  metricsListen: { host: string; port: number };
  /** The operator's own: Lease and authority are there. */
  namespace: string;
  leaseNamespace: string | undefined;
  hostAgents:
    | { kind: 'named'; endpoints: { node: string; endpoint: string }[]; grantKey: Buffer }
    | { kind: 'found'; namespace: string; port: number };
  /** Of the tokens that the claim API takes; `undefined`: it takes everybody, on loopback. */
  audiences: string[] | undefined;
  /** Of this process, when the Service is to find it. */
  podName: string | undefined;
  logLevel: string;
  drainMs: number;
  identity: string;
}

export const USAGE = `usage: operator (--host-agent-namespace NS | --grant-key-file FILE --host-agent NODE=ENDPOINT...) [options]
  --kubeconfig FILE                 default: $KUBECONFIG, or the pod's service account
  --listen HOST:PORT                claim API, default 0.0.0.0:8080
  --metrics-bind-address HOST:PORT  /metrics, /healthz, /readyz, default 0.0.0.0:8081
  --leader-elect                    one of several replicas
  --leader-election-namespace NS    default warmpool-system
  --auth kubernetes|none            who may claim: default kubernetes (TokenReview and RBAC); none only on loopback
  --audience NAME                   repeated; that tokens must be for, default warmpool.dev
  --pod-name NAME                   this process's pod: labelled while it serves claims
  --host-agent-namespace NS         find host-agents by their pods, over mutual TLS with certificates made here
  --host-agent-port PORT            default 8443
  --host-agent NODE=ENDPOINT        repeated; unix:/path or http(s)://host:port
  --grant-key-file FILE             key that signs load grants, shared with the host-agents named
  --log-level LEVEL                 debug, info, warn, error, silent; default info
  --drain-seconds N                 default 30`;

export const wantsHelp = (): boolean => process.argv.includes('--help');

/** @throws Error with a sentence for the person who started the program. */
export function readConfig(argv: string[], env: NodeJS.ProcessEnv): OperatorConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      kubeconfig: { type: 'string' },
      listen: { type: 'string', default: '0.0.0.0:8080' },
      'metrics-bind-address': { type: 'string', default: '0.0.0.0:8081' },
      'leader-elect': { type: 'boolean', default: false },
      'leader-election-namespace': { type: 'string', default: 'warmpool-system' },
      'host-agent': { type: 'string', multiple: true, default: [] },
      'host-agent-namespace': { type: 'string' },
      'host-agent-port': { type: 'string', default: '8443' },
      'grant-key-file': { type: 'string' },
      auth: { type: 'string', default: 'kubernetes' },
      audience: { type: 'string', multiple: true, default: ['warmpool.dev'] },
      'pod-name': { type: 'string' },
      'log-level': { type: 'string', default: env['WARMPOOL_LOG_LEVEL'] ?? 'info' },
      'drain-seconds': { type: 'string', default: '30' },
    },
  });
  const parsed = configSchema.safeParse(values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join('\n'));
  const config = parsed.data;
  const listen = splitAddress(config.listen);
  if (config.auth === 'none' && !LOOPBACK.includes(listen.host))
    throw new Error(`--auth none: anybody could claim on ${config.listen}; listen on 127.0.0.1, or leave --auth out`);
  return {
    namespace: config['leader-election-namespace'],
    audiences: config.auth === 'none' ? undefined : config.audience,
    podName: config['pod-name'],
    kubeconfig: config.kubeconfig ?? env['KUBECONFIG'],
    listen,
    metricsListen: splitAddress(config['metrics-bind-address']),
    leaseNamespace: config['leader-elect'] ? config['leader-election-namespace'] : undefined,
    hostAgents: hostAgentsOf(config),
    logLevel: config['log-level'],
    drainMs: config['drain-seconds'] * 1000,
    identity: `${hostname()}-${process.pid}-${Date.now().toString(36)}`,
  };
}

const LOOPBACK = ['127.0.0.1', '::1', '[::1]', 'localhost'];

function hostAgentsOf(config: z.output<typeof configSchema>): OperatorConfig['hostAgents'] {
  const { 'host-agent': named, 'host-agent-namespace': namespace, 'grant-key-file': keyFile } = config;
  if (namespace !== undefined) {
    if (named.length > 0 || keyFile !== undefined)
      throw new Error('--host-agent-namespace finds host-agents and key: leave --host-agent and --grant-key-file out');
    return { kind: 'found', namespace, port: config['host-agent-port'] };
  }
  if (keyFile === undefined) throw new Error('--grant-key-file is required without --host-agent-namespace');
  const endpoints = named.map((text) => ({
    node: text.slice(0, text.indexOf('=')),
    endpoint: text.slice(text.indexOf('=') + 1),
  }));
  return { kind: 'named', endpoints, grantKey: readKey(keyFile) };
}

function splitAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon) || '0.0.0.0', port: Number(text.slice(colon + 1)) };
}

function readKey(file: string): Buffer {
  const key = readFileSync(file);
  if (key.length < 32)
    throw new Error(`--grant-key-file ${file}: a key of at least 32 bytes is needed, this one has ${key.length}`);
  return key;
}
