import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { chmod, mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { podUidSchema } from '@warmpool/protocol/fields.ts';
import { POD_CODE_FOLDER, POD_PREPARED_FOLDER } from '@warmpool/protocol/names.ts';
import { readMountTable, unmountTree } from '../mounts/mount-table.ts';
import { adoptDelivered, isVolumeAt } from './delivered-code.ts';
import type { PodVolumesDeps } from './pod-volumes.ts';
import type { VolumeRecord } from './volume-records.ts';

/** All pods of the node share it: a pod that fills it keeps others from starting. */
const SHARED_VOLUME = { sizeBytes: 64 * 1024 * 1024, inodes: 65_536 };
const RESCAN_MS = 1_000;

export interface HostPathVolumesDeps extends PodVolumesDeps {
  /** The process in the pod has ended, or will not be used any more. */
  isFinal: (podUid: PodUid) => boolean;
}

/**
 * For clusters without CSI inline volumes: the kubelet makes a folder for each pod (`hostPath` with `subPathExpr`) in one tmpfs of this
 * program. Nobody says when a pod comes or goes, so the folder is watched, and the kubelet's own folder of a pod tells its end.
 */
export class HostPathVolumes {
  readonly #deps: HostPathVolumesDeps;
  readonly #given: string;
  #path = '';
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #scanning: Promise<void> | undefined;
  #isScanDue = false;

  constructor(deps: HostPathVolumesDeps, path: string) {
    this.#deps = deps;
    this.#given = path;
  }

  async start(): Promise<void> {
    const { mounter } = this.#deps;
    await mkdir(this.#given, { recursive: true });
    this.#path = await realpath(this.#given);
    if (!isVolumeAt(await readMountTable(), this.#path)) await mounter.mountVolume(this.#path, SHARED_VOLUME);
    await this.#scan();
    const table = await readMountTable();
    for (const record of this.#records()) adoptDelivered(this.#deps, record, table);
    this.#watcher = watch(this.#path, { persistent: false }, () => this.#scanSoon());
    this.#watcher.on('error', () => this.#watcher?.close());
    this.#timer = setInterval(() => this.#scanSoon(), RESCAN_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher?.close();
    await this.#scanning;
  }

  /** One scan at a time; what happens during one is seen by the next. */
  #scanSoon(): void {
    this.#isScanDue = true;
    this.#scanning ??= this.#scanWhileDue().finally(() => (this.#scanning = undefined));
  }

  async #scanWhileDue(): Promise<void> {
    while (this.#isScanDue) {
      this.#isScanDue = false;
      await this.#scan().catch(this.#deps.onProblem);
    }
  }

  async #scan(): Promise<void> {
    const { kubelet, isFinal, onProblem } = this.#deps;
    if (!kubelet.isThere) throw new Error("the kubelet's folder pods/ is not there: no pod is found or cleaned up");
    const known = new Map(this.#records().map(({ podUid }) => [podUid, join(this.#path, podUid)]));
    for (const name of await readdir(this.#path)) {
      const podUid = podUidSchema.safeParse(name).data;
      if (podUid !== undefined) known.set(podUid, join(this.#path, podUid));
    }
    for (const [podUid, path] of known) {
      const settled = !kubelet.hasPod(podUid)
        ? this.#remove(podUid, path)
        : isFinal(podUid)
          ? // the kubelet cannot take its own mount of the folder away while the code is mounted in it
            this.#takeCode(path)
          : this.#adopt(podUid, path);
      await settled.catch(onProblem);
    }
  }

  async #takeCode(path: string): Promise<void> {
    await unmountTree(this.#deps.mounter, join(path, POD_PREPARED_FOLDER));
    await unmountTree(this.#deps.mounter, join(path, POD_CODE_FOLDER));
  }

  async #adopt(podUid: PodUid, path: string): Promise<void> {
    const { records, onChanged, log } = this.#deps;
    if (records.isMarkedMounted(podUid)) return;
    // the kubelet gives it the mode of its parent, without the bit that keeps a pod's user from moving `code` away
    await chmod(path, 0o1777);
    for (const folder of [POD_CODE_FOLDER, POD_PREPARED_FOLDER]) {
      await mkdir(join(path, folder), { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
    }
    const record: VolumeRecord = { podUid, volume: { kind: 'hostPath', path } };
    if (records.read(podUid) === undefined) records.create(record);
    records.markMounted(record);
    onChanged(podUid);
    log.info({ podUid }, 'host path volume found');
  }

  async #remove(podUid: PodUid, path: string): Promise<void> {
    const { mounter, records, onRemoved, log } = this.#deps;
    await unmountTree(mounter, path);
    await rm(path, { recursive: true, force: true });
    if (records.read(podUid)?.volume.kind === 'hostPath') records.remove(podUid);
    onRemoved(podUid);
    log.info({ podUid }, 'host path volume removed');
  }

  #records(): VolumeRecord[] {
    return this.#deps.records.list().filter(({ volume }) => volume.kind === 'hostPath');
  }
}
