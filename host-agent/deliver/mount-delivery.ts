import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { POD_CODE_FOLDER, POD_PREPARED_FOLDER, POD_VOLUME_PATH } from '@warmpool/protocol/names.ts';
import { mountsAt } from '../core/mount-table.ts';
import { hostError } from '../errors.ts';
import { MountError, MountUncertain } from '../mounts/mount-error.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { readMountTable, unmountTree } from '../mounts/mount-table.ts';
import type { CodeDelivery, DeliveryTarget } from './code-delivery.ts';
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

  constructor(mounter: Mounter, staging: Staging) {
    this.#mounter = mounter;
    this.#staging = staging;
  }

  async deliver(pod: DeliveryTarget, treePath: string): Promise<string> {
    const [codePath] = await Promise.all([this.#deliverCode(pod, treePath), this.#deliverPrepared(pod, treePath)]);
    return codePath;
  }

  /** A load is right without it. */
  async #deliverPrepared({ folder }: DeliveryTarget, treePath: string): Promise<void> {
    const prepared = join(dirname(treePath), POD_PREPARED_FOLDER);
    if (!existsSync(prepared)) return;
    await this.#mounter.bind(this.#staging.sourceOf(prepared), folder.volumePath, POD_PREPARED_FOLDER).catch(() => {});
  }

  async #deliverCode({ podUid, folder }: DeliveryTarget, treePath: string): Promise<string> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#mounter.bind(this.#staging.sourceOfTree(treePath), folder.volumePath, POD_CODE_FOLDER);
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
