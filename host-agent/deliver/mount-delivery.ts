import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { POD_CODE_FOLDER, POD_PREPARED_FOLDER, POD_VOLUME_PATH } from '@warmpool/protocol/names.ts';
import { mountsAt } from '../core/mount-table.ts';
import { hostError } from '../errors.ts';
import { MountError, MountUncertain } from '../mounts/mount-error.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { readMountTable, unmountTree } from '../mounts/mount-table.ts';
import type { CodeDelivery, DeliveryTarget } from './code-delivery.ts';
import type { ReadAhead } from './read-ahead.ts';
import type { Staging } from './staging.ts';

const MAX_ATTEMPTS = 3;
/** The pod has done something to its own volume, or the volume is on its way out. */
const POD_FAULTS: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENODEV', 'EACCES']);

/**
 * For real pods: a read-only mount of the tree onto `code` in the pod's volume. The mount is its own record: after a restart, the mount
 * table says what each pod uses.
 */
export class MountDelivery implements CodeDelivery {
  readonly #mounter: Mounter;
  readonly #staging: Staging;
  readonly #readAhead: Pick<ReadAhead, 'onDelivered'>;

  constructor(mounter: Mounter, staging: Staging, readAhead: Pick<ReadAhead, 'onDelivered'>) {
    this.#mounter = mounter;
    this.#staging = staging;
    this.#readAhead = readAhead;
  }

  async deliver(pod: DeliveryTarget, treePath: string): Promise<string> {
    const source = this.#staging.sourceOfTree(treePath);
    const delivered = Promise.all([
      this.#deliverCode(pod, treePath, source.path),
      this.#deliverPrepared(pod, treePath),
    ]);
    if (source.isImage) this.#readAhead.onDelivered(dirname(treePath));
    return (await delivered)[0];
  }

  /** A load is right without it. */
  async #deliverPrepared({ folder }: DeliveryTarget, treePath: string): Promise<void> {
    const prepared = join(dirname(treePath), POD_PREPARED_FOLDER);
    if (!existsSync(prepared)) return;
    await this.#mounter.bind(this.#staging.sourceOf(prepared), folder.volumePath, POD_PREPARED_FOLDER).catch(() => {});
  }

  async #deliverCode({ podUid, folder }: DeliveryTarget, treePath: string, source: string): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#mounter.bind(source, folder.volumePath, POD_CODE_FOLDER);
        return POD_CODE_PATH;
      } catch (error) {
        if (error instanceof MountError && POD_FAULTS.has(error.code)) {
          throw hostError.podLost(podUid, 'its volume has no folder for the code', error);
        }
        const isOpen = error instanceof MountUncertain || (error instanceof MountError && error.code === 'EXDEV');
        if (!isOpen || attempt >= MAX_ATTEMPTS) {
          throw hostError.podLost(podUid, `its code cannot be mounted: ${(error as Error).message}`, error);
        }
        if (await this.#isDelivered(folder.volumePath, treePath)) return POD_CODE_PATH;
      }
    }
  }

  /** Asks the mount table; what is mounted there and is not the tree is taken away. */
  async #isDelivered(volumePath: string, treePath: string): Promise<boolean> {
    const path = join(volumePath, POD_CODE_FOLDER);
    const mounts = mountsAt(await readMountTable(), path);
    const [only] = mounts;
    if (mounts.length === 1 && only !== undefined && this.#staging.isMountOf(only, treePath)) return true;
    await unmountTree(this.#mounter, path);
    return false;
  }
}

const POD_CODE_PATH = join(POD_VOLUME_PATH, POD_CODE_FOLDER);
