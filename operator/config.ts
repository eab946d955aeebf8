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
  'grant-key-file': z.string().min(1),
  'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']),
  'drain-seconds': z.coerce.number().int().min(0).max(300),
});

export interface OperatorConfig {
  kubeconfig: string | undefined;
  listen: { host: string; port: number };
  metricsListen: { host: string; port: number };
  leaseNamespace: string | undefined;
  hostAgents: { node: string; endpoint: string }[];
  grantKey: Buffer;
  logLevel: string;
  drainMs: number;
  identity: string;
}

export const USAGE = `usage: operator --grant-key-file FILE [options]
  --kubeconfig FILE                 default: $KUBECONFIG, or the pod's service account
  --listen HOST:PORT                claim API, default 0.0.0.0:8080
  --metrics-bind-address HOST:PORT  /metrics, /healthz, /readyz, default 0.0.0.0:8081
  --leader-elect                    one of several replicas
  --leader-election-namespace NS    default warmpool-system
  --host-agent NODE=ENDPOINT        repeated; unix:/path or http(s)://host:port
  --grant-key-file FILE             key that signs load grants, shared with the host-agents
  --log-level LEVEL                 debug, info, warn, error, silent; default info
  --drain-seconds N                 default 30`;

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
      'grant-key-file': { type: 'string' },
      'log-level': { type: 'string', default: env['WARMPOOL_LOG_LEVEL'] ?? 'info' },
      'drain-seconds': { type: 'string', default: '30' },
    },
  });
  const parsed = configSchema.safeParse(values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join('\n'));
  const config = parsed.data;
  return {
    kubeconfig: config.kubeconfig ?? env['KUBECONFIG'],
    listen: splitAddress(config.listen),
    metricsListen: splitAddress(config['metrics-bind-address']),
    leaseNamespace: config['leader-elect'] ? config['leader-election-namespace'] : undefined,
    hostAgents: config['host-agent'].map((text) => ({
      node: text.slice(0, text.indexOf('=')),
      endpoint: text.slice(text.indexOf('=') + 1),
    })),
    grantKey: readKey(config['grant-key-file']),
    logLevel: config['log-level'],
    drainMs: config['drain-seconds'] * 1000,
    identity: `${hostname()}-${process.pid}-${Date.now().toString(36)}`,
  };
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
