import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GenericContainer } from 'testcontainers';

const BYTES_PER_GIB = 1024 ** 3;

/** As restricted as Kubernetes runs standby pods, and more: no network at all. */
export class RestrictedContainer extends GenericContainer {
  constructor(image: string, limits: { memoryBytes: number; cpus: number }) {
    super(image);
    this.withNetworkMode('none')
      .withDroppedCapabilities('ALL')
      .withSecurityOpt('no-new-privileges')
      .withResourcesQuota({ memory: limits.memoryBytes / BYTES_PER_GIB, cpu: limits.cpus })
      .withAutoCleanup(false)
      .withAutoRemove(false);
    this.hostConfig.ReadonlyRootfs = true;
    // no swap beside it
    this.hostConfig.MemorySwap = limits.memoryBytes;
  }
}

/** A folder that containers of any user may write to. */
export async function makeShared(...parts: string[]): Promise<string> {
  const folder = join(...parts);
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o777);
  return folder;
}
