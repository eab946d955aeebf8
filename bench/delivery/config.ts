import { existsSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { FORMATS, KINDS } from './artefacts.ts';

const configSchema = z.object({
  rounds: z.coerce.number().int().min(1).max(1000),
  sizesMB: z.array(z.coerce.number().int().min(1).max(1000)).min(1),
  formats: z.array(z.enum(FORMATS)).min(1),
  trees: z.array(z.enum(KINDS)).min(1),
  roundTripMs: z.coerce.number().min(0).max(1000),
  bytesPerSecond: z.coerce.number().int().min(10_000),
  folder: z.string().min(1),
  coldConnections: z.boolean(),
  json: z.boolean(),
});
export type DeliveryBenchConfig = z.output<typeof configSchema>;

export const DELIVERY_USAGE = `usage: npm run bench -- delivery [options]
  --rounds N         of every contender, one after the other; default 3
  --sizes N,N        of the unpacked trees, in MB, default 1,20,200
  --formats F,F      default tar.gz,tar.zst,zip
  --trees K,K        many (small files), few (large files); default both
  --rtt-ms N         round trip of the link, default 20
  --rate N           bytes per second of one connection, default 50000000
  --folder PATH      where everything is; default: as root an ext4 file system of its own in memory, else /dev/shm
  --cold-connections closes the host-agent's connections before each round
  --json             one JSON object instead of a table`;

/** @throws Error with a sentence for the person who started the program. */
export function readDeliveryConfig(argv: string[]): DeliveryBenchConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      rounds: { type: 'string', default: '3' },
      sizes: { type: 'string', default: '1,20,200' },
      formats: { type: 'string', default: FORMATS.join(',') },
      trees: { type: 'string', default: KINDS.join(',') },
      'rtt-ms': { type: 'string', default: '20' },
      rate: { type: 'string', default: '50000000' },
      folder: { type: 'string', default: defaultFolder() },
      'cold-connections': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const parsed = configSchema.safeParse({
    ...{ rounds: values.rounds, folder: values.folder, json: values.json, coldConnections: values['cold-connections'] },
    ...{ formats: values.formats.split(','), trees: values.trees.split(',') },
    ...{ sizesMB: values.sizes.split(','), roundTripMs: values['rtt-ms'], bytesPerSecond: values.rate },
  });
  if (!parsed.success)
    throw new Error(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('\n'));
  return parsed.data;
}

/** On a disk the rounds would measure its cache: files made soon after others were deleted cost a multiple on ext4. */
function defaultFolder(): string {
  const memory = '/dev/shm';
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 4 * 1024 ** 3 ? memory : tmpdir();
}
