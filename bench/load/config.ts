import { parseArgs } from 'node:util';
import { machineConfig } from '@warmpool/local/config.ts';
import { z } from 'zod';
import { EXAMPLE_NAMES, RUNTIME_NAMES } from './examples.ts';
import { MODE_NAMES } from './modes.ts';

/** In thousandths of a processor, as Kubernetes says it. */
export const CPU_LIMITS = { full: undefined, '1000m': 1000, '300m': 300, '100m': 100 } as const;
export type CpuName = keyof typeof CPU_LIMITS;
const CPU_NAMES = ['full', '1000m', '300m', '100m'] as const satisfies CpuName[];

const filter = <T extends string>(known: readonly T[]) =>
  z
    .string()
    .optional()
    .transform((text) => text?.split(',').map((word) => word.trim()) ?? known)
    .pipe(z.array(z.enum(known as [T, ...T[]], { error: `must be of ${known.join(', ')}` })));

const configSchema = z.object({
  loads: z.coerce.number().int().min(1).max(100_000),
  runtime: filter(RUNTIME_NAMES),
  example: filter(EXAMPLE_NAMES),
  cpu: filter(CPU_NAMES),
  mode: filter(MODE_NAMES),
  json: z.boolean(),
});
export type LoadBenchConfig = z.output<typeof configSchema> & ReturnType<typeof machineConfig>;

export const LOAD_USAGE = `usage: npm run bench -- load [options]
  --loads N          loads of each row, default 60; each in a standby process of its own
  --runtime NAMES    ${RUNTIME_NAMES.join(',')}
  --example NAMES    ${EXAMPLE_NAMES.join(',')}
  --cpu NAMES        ${CPU_NAMES.join(',')}; limits need root
  --mode NAMES       ${MODE_NAMES.join(',')}
  --json             one JSON object instead of a table
All names may be several, with commas between; without an option, all of them are measured.`;

/** @throws Error with a sentence for the person who started the program. */
export function readLoadConfig(argv: string[], env: NodeJS.ProcessEnv): LoadBenchConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      loads: { type: 'string', default: '60' },
      runtime: { type: 'string' },
      example: { type: 'string' },
      cpu: { type: 'string' },
      mode: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const parsed = configSchema.safeParse(values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `--${String(issue.path[0])}: ${issue.message}`).join('\n'));
  return { ...parsed.data, ...machineConfig(env) };
}
