import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';

/** The only place that reads argv and env. */

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));

const configSchema = z.object({
  once: z.boolean(),
  'no-demo': z.boolean(),
  pools: z.string().min(1),
  functions: z.string().min(1),
  host: z.enum(['127.0.0.1', '::1', 'localhost'], {
    error: 'must be a loopback address: local mode has no authentication',
  }),
  port: z.coerce.number().int().min(0).max(65_535),
  'log-level': z.enum(['debug', 'info', 'warn', 'error', 'silent']),
});

export interface LocalConfig {
  /** Show, check, and end. */
  once: boolean;
  demo: boolean;
  poolsDir: string;
  functionsDir: string;
  host: string;
  port: number;
  logLevel: string;
  /** For what may be kept between runs: installed dependencies, packed functions. */
  cacheDir: string;
  tmpDir: string;
  hostEnv: Readonly<Record<string, string | undefined>>;
}

export const USAGE = `usage: npm start -- [options]
  --once             show each step, then end: 0 when everything worked
  --no-demo          start only, claim nothing
  --pools DIR        WarmPool YAML files, default examples/pools
  --functions DIR    example functions, default examples/functions
  --host ADDRESS     loopback address of the claim API, default 127.0.0.1
  --port N           of the claim API, default 8080; 0 takes a free one
  --log-level LEVEL  debug, info, warn, error, silent; default warn`;

export const wantsHelp = (): boolean => process.argv.includes('--help');

/** @throws Error with a sentence for the person who started the program. */
export function readConfig(argv: string[], env: NodeJS.ProcessEnv): LocalConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      once: { type: 'boolean', default: false },
      'no-demo': { type: 'boolean', default: false },
      pools: { type: 'string', default: path.join(REPOSITORY, 'examples/pools') },
      functions: { type: 'string', default: path.join(REPOSITORY, 'examples/functions') },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8080' },
      'log-level': { type: 'string', default: env['WARMPOOL_LOG_LEVEL'] ?? 'warn' },
    },
  });
  const parsed = configSchema.safeParse(values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join('\n'));
  const config = parsed.data;
  return {
    once: config.once,
    demo: !config['no-demo'],
    poolsDir: path.resolve(config.pools),
    functionsDir: path.resolve(config.functions),
    host: config.host,
    port: config.port,
    logLevel: config['log-level'],
    ...machineConfig(env),
  };
}

/** What does not depend on options: where caches and run directories go, and what pods may inherit. */
export function machineConfig(env: NodeJS.ProcessEnv): Pick<LocalConfig, 'cacheDir' | 'tmpDir' | 'hostEnv'> {
  return {
    cacheDir: path.join(env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'warmpool'),
    tmpDir: tmpdir(),
    hostEnv: env,
  };
}
