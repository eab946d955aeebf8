import { parseArgs } from 'node:util';
import { machineConfig } from '@warmpool/local/config.ts';
import { z } from 'zod';

const configSchema = z.object({
  target: z.enum(['local', 'cluster'], { error: 'must be local or cluster' }),
  claims: z.coerce.number().int().min(1).max(100_000),
  function: z.string().min(1),
  replicas: z.coerce.number().int().min(1).max(500),
  burst: z.coerce.number().int().min(1).max(500),
  rounds: z.coerce.number().int().min(1).max(1000),
  colds: z.coerce.number().int().min(1).max(1000),
  json: z.boolean(),
});
export type ClaimBenchConfig = z.output<typeof configSchema> & ReturnType<typeof machineConfig>;

export const USAGE = `usage: npm run bench -- claim [options]
  --target NAME      local (default), the single-machine composition; or cluster, a real node on this machine (root; see
                     test:cluster), with node-hello only
  --claims N         claims one after the other, default 200
  --function NAME    a folder of examples/functions, default node-hello
  --replicas N       standby pods, default 20
  --burst N          claims at once, default 20
  --rounds N         bursts, default 10
  --colds N          cold starts to compare with, default 20
  --json             one JSON object instead of a table`;

/** @throws Error with a sentence for the person who started the program. */
export function readConfig(argv: string[], env: NodeJS.ProcessEnv): ClaimBenchConfig {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      target: { type: 'string', default: 'local' },
      claims: { type: 'string', default: '200' },
      function: { type: 'string', default: 'node-hello' },
      replicas: { type: 'string', default: '20' },
      burst: { type: 'string', default: '20' },
      rounds: { type: 'string', default: '10' },
      colds: { type: 'string', default: '20' },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.join(' ') !== 'claim')
    throw new Error(
      `unknown benchmark ${JSON.stringify(positionals.join(' '))}; there is: ahead, claim, delivery, load, mount, prepared`,
    );
  const parsed = configSchema.safeParse(values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join('\n'));
  if (parsed.data.target === 'cluster' && parsed.data.function !== 'node-hello')
    throw new Error('--function: the cluster target claims node-hello');
  return { ...parsed.data, ...machineConfig(env) };
}
