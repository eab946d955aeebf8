import { renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { podUidSchema } from '@warmpool/protocol/fields.ts';

/** `pod.json`: written by whoever makes the pod's folder, before the pod starts. */
export const podFileSchema = z.looseObject({
  podUid: podUidSchema,
  /** Where the function will be served; a pod of a cluster says so itself once it is standby. */
  host: z.string().min(1).optional(),
  port: z.int().min(0).max(65_535).optional(),
});
export type PodFile = z.output<typeof podFileSchema>;

/** Whole or not at all. Synchronous: what it says is promised to others right after. */
export function writePodFile(path: string, file: PodFile): void {
  writeFileSync(`${path}.next`, JSON.stringify(file), { mode: 0o600 });
  renameSync(`${path}.next`, path);
}
