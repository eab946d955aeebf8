import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { CSI_DRIVER, POD_CODE_FOLDER } from '@warmpool/protocol/names.ts';
import type { Mount } from '../core/mount-table.ts';
import { mountsAt } from '../core/mount-table.ts';
import { linkTree } from '../deliver/code-link.ts';
import type { Staging } from '../deliver/staging.ts';
import type { VolumeRecord, VolumeRecords } from './volume-records.ts';

export interface AdoptionDeps {
  records: VolumeRecords;
  staging: Staging;
  /** The pod uses this tree of the cache. */
  onDelivered: (podUid: PodUid, treePath: string) => void;
}

/**
 * After a restart: what is mounted in a pod's volume is what the pod uses, whatever the last process had still written down. A
 * delivery that was written down and not made is forgotten.
 */
export function adoptDelivered(
  { records, staging, onDelivered }: AdoptionDeps,
  record: VolumeRecord,
  table: Mount[],
): void {
  const codeLink = join(records.folder(record.podUid), 'code');
  const mount = mountsAt(table, join(record.volume.path, POD_CODE_FOLDER)).at(-1);
  const treePath = mount === undefined ? undefined : staging.treeOf(mount);
  if (treePath === undefined) return rmSync(codeLink, { force: true });
  linkTree(codeLink, treePath);
  onDelivered(record.podUid, treePath);
}

/** Whether one of our volumes is mounted at the path. */
export function isVolumeAt(table: readonly Mount[], path: string): boolean {
  const top = mountsAt(table, path).at(-1);
  return top?.fsType === 'tmpfs' && top.source === CSI_DRIVER;
}
