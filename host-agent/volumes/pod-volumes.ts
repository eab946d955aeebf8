import { lstat, mkdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { POD_CODE_FOLDER, POD_PREPARED_FOLDER } from '@warmpool/protocol/names.ts';
import type { Mount } from '../core/mount-table.ts';
import { MountError, MountUnavailable, MountUncertain } from '../mounts/mount-error.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { readMountTable, unmountTree } from '../mounts/mount-table.ts';
import type { AdoptionDeps } from './delivered-code.ts';
import { adoptDelivered, isVolumeAt } from './delivered-code.ts';
import type { KubeletDir, VolumeTarget } from './kubelet-dir.ts';
import { KeyedLock } from './keyed-lock.ts';
import { VolumeError } from './volume-error.ts';
import type { VolumeRecord, VolumeRecords } from './volume-records.ts';

/** Sockets and a few lines about the end of the process; a pod can fill it and hurts nobody else. */
const VOLUME = { sizeBytes: 256 * 1024, inodes: 64, folder: POD_CODE_FOLDER };
const SWEEP_MS = 60_000;

export interface PodVolumesDeps extends AdoptionDeps {
  mounter: Mounter;
  records: VolumeRecords;
  kubelet: KubeletDir;
  log: Logger;
  /** The pod's folder is other than it was. */
  onChanged: (podUid: PodUid) => void;
  /** Nothing of the pod's volume is left, so nothing of the cache is in use by it. */
  onRemoved: (podUid: PodUid) => void;
  onProblem: (error: unknown) => void;
}

export interface PodOfVolume {
  podName: string;
  namespace: string;
}

/** The volumes that the kubelet asks for: each a small tmpfs with a folder `code` in it. Every step can be repeated, and begun anew in the middle. */
export class PodVolumes {
  readonly #deps: PodVolumesDeps;
  readonly #lock = new KeyedLock();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: PodVolumesDeps) {
    this.#deps = deps;
  }

  /** Takes up what the last process left: volumes of pods that live on, and remains of pods that do not. */
  async start(): Promise<void> {
    const table = await readMountTable();
    await this.#sweep(table);
    for (const record of this.#csiRecords()) {
      if (isVolumeAt(table, record.volume.path)) adoptDelivered(this.#deps, record, table);
    }
    this.#timer = setInterval(() => {
      readMountTable()
        .then((now) => this.#sweep(now))
        .catch(this.#deps.onProblem);
    }, SWEEP_MS);
    this.#timer.unref();
  }

  publish(target: VolumeTarget, pod: PodOfVolume): Promise<void> {
    return this.#lock.run(target.podUid, () => this.#publish(target, pod));
  }

  unpublish(target: VolumeTarget): Promise<void> {
    return this.#lock.run(target.podUid, () => this.#unpublish(target));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #publish({ podUid, path }: VolumeTarget, pod: PodOfVolume): Promise<void> {
    const { records, onChanged, log } = this.#deps;
    const known = records.read(podUid);
    if (known !== undefined && known.volume.path !== path) {
      throw new VolumeError('conflict', `pod ${podUid} already has its volume at ${known.volume.path}; a pod has one`);
    }
    const record: VolumeRecord = known ?? { podUid, ...pod, volume: { kind: 'csi', path } };
    if (known === undefined) records.create(record);
    await makeFolder(path);
    await this.#mount(path);
    // before the pod is there; a volume from before a restart may have one
    await mkdir(join(path, POD_PREPARED_FOLDER), { mode: 0o755 }).catch(ignore('EEXIST'));
    records.markMounted(record);
    onChanged(podUid);
    log.info({ podUid, ...pod }, 'volume published');
  }

  async #mount(path: string): Promise<void> {
    const { mounter } = this.#deps;
    try {
      await mounter.mountVolume(path, VOLUME);
    } catch (error) {
      if (error instanceof MountUnavailable) throw new VolumeError('unavailable', error.message, error);
      const isOpen = error instanceof MountUncertain || (error instanceof MountError && error.code === 'EEXIST');
      if (isOpen && isVolumeAt(await readMountTable(), path)) return;
      // the kubelet asks again, and then the helper is back
      if (error instanceof MountUncertain) throw new VolumeError('unavailable', error.message, error);
      if (isOpen) throw new VolumeError('notReady', `something else is mounted at ${path}`, error);
      throw new VolumeError('failed', (error as Error).message, error);
    }
  }

  async #unpublish({ podUid, path }: VolumeTarget): Promise<void> {
    const { mounter, records, onRemoved, log } = this.#deps;
    const record = records.read(podUid);
    await this.#take(() => unmountTree(mounter, path));
    await this.#take(() => rmdir(path).catch(ignore('ENOENT')));
    if (record !== undefined && record.volume.path !== path) return;
    records.remove(podUid);
    onRemoved(podUid);
    log.info({ podUid }, 'volume unpublished');
  }

  async #take(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw new VolumeError('failed', (error as Error).message, error);
    }
  }

  async #sweep(table: readonly Mount[]): Promise<void> {
    const { kubelet, onProblem } = this.#deps;
    if (!kubelet.isThere)
      return onProblem(new Error("the kubelet's folder pods/ is not there: no volume is cleaned up"));
    const targets = new Map(this.#csiRecords().map(({ podUid, volume }) => [podUid, { podUid, path: volume.path }]));
    for (const { mountPoint } of table) {
      const target = kubelet.parseTarget(mountPoint);
      if (target !== undefined && isVolumeAt(table, target.path)) targets.set(target.podUid, target);
    }
    for (const target of targets.values())
      await this.#lock.run(target.podUid, () => this.#settle(target)).catch(onProblem);
  }

  /** One volume as it should be: gone with its pod, else known if it is there. */
  async #settle(target: VolumeTarget): Promise<void> {
    const { kubelet, records, onChanged, log } = this.#deps;
    const { podUid, path } = target;
    if (!kubelet.hasPod(podUid)) {
      log.warn({ podUid, path }, 'a pod is gone and its volume was still here');
      return this.#unpublish(target);
    }
    const isMounted = isVolumeAt(await readMountTable(), path);
    const known = records.read(podUid);
    if (!isMounted) return records.unmarkMounted(podUid);
    const record: VolumeRecord = known ?? { podUid, volume: { kind: 'csi', path } };
    if (known === undefined) records.create(record);
    if (records.isMarkedMounted(podUid)) return;
    records.markMounted(record);
    onChanged(podUid);
  }

  #csiRecords(): VolumeRecord[] {
    return this.#deps.records.list().filter(({ volume }) => volume.kind === 'csi');
  }
}

/** The kubelet makes the parent; what is at the target itself must be a folder and no link to one. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o750 }).catch(ignore('EEXIST'));
    if ((await lstat(path)).isDirectory()) return;
  } catch (error) {
    throw new VolumeError('failed', `the folder ${path} cannot be made: ${(error as Error).message}`, error);
  }
  throw new VolumeError('notReady', `${path} is there and not a folder`);
}

function ignore(code: string): (error: NodeJS.ErrnoException) => void {
  return (error) => {
    if (error.code !== code) throw error;
  };
}
