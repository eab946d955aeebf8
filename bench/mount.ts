import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import type { Distribution } from './figures.ts';
import { distribution, machine } from './figures.ts';

const FILE_COUNTS = [1, 1_000, 20_000];

const configSchema = z.object({ loads: z.coerce.number().int().min(1).max(10_000), json: z.boolean() });
type MountBenchConfig = z.output<typeof configSchema>;

export const MOUNT_USAGE = `usage: npm run bench -- mount [options]
  --loads N          of each tree, each into a pod of its own; default 50
  --json             one JSON object instead of a table`;

/** @throws Error with a sentence for the person who started the program. */
export function readMountConfig(argv: string[]): MountBenchConfig {
  const options = { loads: { type: 'string', default: '50' }, json: { type: 'boolean', default: false } } as const;
  const parsed = configSchema.safeParse(parseArgs({ args: argv, options }).values);
  if (!parsed.success)
    throw new Error(parsed.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join('\n'));
  return parsed.data;
}

export interface MountBenchResult {
  rows: {
    files: number;
    /** What the host-agent took from the claim's load to the read-only mount in the pod's volume. */
    hitToMountedMs: Distribution;
    /** The whole request, with a pod that runs no code. */
    loadMs: Distribution;
  }[];
  loads: number;
  machine: ReturnType<typeof machine>;
}

/** Code that is in the cache, mounted into pod after pod: the real host-agent, mount helper and volumes, in a mount namespace. */
export async function benchMounts({ loads }: MountBenchConfig): Promise<MountBenchResult> {
  const missing = missingForMounts();
  if (missing !== undefined) throw new Error(`mounts cannot be measured here: ${missing}`);
  const node = await CsiNode.start();
  try {
    const host = await node.host();
    const rows: MountBenchResult['rows'] = [];
    for (const files of FILE_COUNTS) {
      const code = store(node, files);
      const [mounted, whole]: number[][] = [[], []];
      for (let round = 0; round <= loads; round++) {
        const podUid = `pod-${files}-${round}`;
        const pod = await node.publishedPod(podUid);
        const events = await host.events();
        await events.podState(podUid, 'standby');
        await events.close();
        const startedMs = performance.now();
        const { statusCode, body } = await host.load<LoadAnswer>(pod, code);
        if (statusCode !== 200) throw new Error(`the load failed: ${body.message}`);
        const tookMs = performance.now() - startedMs;
        await node.removePod(podUid);
        // the first brings the code
        if (round === 0) continue;
        if (body.codeSource !== 'cache') throw new Error(`the code came from ${body.codeSource} instead of the cache`);
        const { fetchMs, unpackMs, mountMs } = body.timings;
        mounted?.push(fetchMs + unpackMs + mountMs);
        whole?.push(tookMs);
      }
      rows.push({ files, hitToMountedMs: distribution(mounted ?? []), loadMs: distribution(whole ?? []) });
    }
    return { rows, loads, machine: machine() };
  } finally {
    await node.close();
  }
}

interface LoadAnswer {
  message?: string;
  codeSource: string;
  timings: { fetchMs: number; unpackMs: number; mountMs: number };
}

function store(node: CsiNode, files: number): { key: string; digest: string; format: string } {
  const entries = Array.from({ length: files }, (_, index) => ({
    name: index === 0 ? 'index.js' : `folder-${index % 100}/file-${index}.js`,
    body: `exports.handler = () => ${index}`,
  }));
  const bytes = tarOf(entries);
  const key = `${files}.tar`;
  writeFileSync(join(node.folder, 'store', key), bytes);
  return { key, digest: digestOf(bytes), format: 'tar' };
}

export function mountTable({ rows, loads, machine: { cpu, cores, kernel, node } }: MountBenchResult): string {
  const line = (cells: (string | number)[]): string => cells.map((cell) => String(cell).padEnd(14)).join('');
  return [
    `from a claim's load to the mounted folder, code in the cache, ms, ${loads} loads`,
    line(['files', 'p50', 'p95', 'p99', 'max', 'whole load p50']),
    ...rows.map(({ files, hitToMountedMs: { p50, p95, p99, max }, loadMs }) =>
      line([files, p50, p95, p99, max, loadMs.p50]),
    ),
    `${cpu}, ${cores} cores, kernel ${kernel}, Node ${node}`,
  ].join('\n');
}
