import { join } from 'node:path';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { CSI_DRIVER, POD_CODE_FOLDER } from '@warmpool/protocol/names.ts';
import type { Mount } from '../core/mount-table.ts';
import { mountsAt } from '../core/mount-table.ts';
import type { Staging } from '../deliver/staging.ts';
import type { VolumeRecord } from './volume-records.ts';

export interface AdoptionDeps {
  staging: Staging;
  /** The pod uses this tree of the cache. */
  onDelivered: (podUid: PodUid, treePath: string) => void;
}

/** After a restart: what is mounted in a pod's volume is what the pod uses. */
export function adoptDelivered({ staging, onDelivered }: AdoptionDeps, record: VolumeRecord, table: Mount[]): void {
  const mount = mountsAt(table, join(record.volume.path, POD_CODE_FOLDER)).at(-1);
  const treePath = mount === undefined ? undefined : staging.treeOf(mount);
  if (treePath !== undefined) onDelivered(record.podUid, treePath);
}

/** Whether one of our volumes is mounted at the path. */
export function isVolumeAt(table: readonly Mount[], path: string): boolean {
  const top = mountsAt(table, path).at(-1);
  return top?.fsType === 'tmpfs' && top.source === CSI_DRIVER;
}
