import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { podFileSchema, writePodFile } from '../pods/pod-file.ts';

const recordSchema = podFileSchema.extend({
  volume: z.object({ kind: z.enum(['csi', 'hostPath']), path: z.string().min(1) }),
  /** For people who look into the folder. */
  podName: z.string().optional(),
  namespace: z.string().optional(),
});
export type VolumeRecord = z.output<typeof recordSchema>;

/**
 * What this program knows about the volumes of pods, in the folders where the registry finds pods: `pod.json` says what was begun,
 * the link `volume` says that it is there. A record is written before its volume is mounted
 * and removed after everything is unmounted, so no mount is ever without one. Synchronous: a few system calls, off the claim path.
 */
export class VolumeRecords {
  readonly #podsDir: string;

  constructor(podsDir: string) {
    this.#podsDir = podsDir;
  }

  /** Also removes what a process that was killed left half written. */
  list(): VolumeRecord[] {
    return readdirSync(this.#podsDir).flatMap((name) => {
      if (!name.startsWith('.')) return this.read(name) ?? [];
      rmSync(join(this.#podsDir, name), { recursive: true, force: true });
      return [];
    });
  }

  read(podUid: string): VolumeRecord | undefined {
    try {
      const text = readFileSync(join(this.#podsDir, podUid, 'pod.json'), 'utf8');
      const record = recordSchema.parse(JSON.parse(text));
      return record.podUid === podUid ? record : undefined;
    } catch {
      return undefined;
    }
  }

  create(record: VolumeRecord): void {
    const hidden = join(this.#podsDir, `.${record.podUid}`);
    rmSync(hidden, { recursive: true, force: true });
    mkdirSync(hidden, { mode: 0o700 });
    writePodFile(join(hidden, 'pod.json'), record);
    // a folder without a readable record is nothing
    rmSync(this.folder(record.podUid), { recursive: true, force: true });
    renameSync(hidden, this.folder(record.podUid));
  }

  markMounted({ podUid, volume }: VolumeRecord): void {
    this.unmarkMounted(podUid);
    symlinkSync(volume.path, join(this.folder(podUid), 'volume'));
  }

  isMarkedMounted(podUid: PodUid): boolean {
    return lstatSync(join(this.folder(podUid), 'volume'), { throwIfNoEntry: false }) !== undefined;
  }

  unmarkMounted(podUid: PodUid): void {
    rmSync(join(this.folder(podUid), 'volume'), { force: true });
  }

  remove(podUid: PodUid): void {
    rmSync(this.folder(podUid), { recursive: true, force: true });
  }

  folder(podUid: PodUid): string {
    return join(this.#podsDir, podUid);
  }
}
