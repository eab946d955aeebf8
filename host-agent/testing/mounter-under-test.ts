import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../clock.ts';
import { Mounter } from '../mounts/mounter.ts';
import { buildMountHelper, MountNamespace } from './mount-namespace.ts';

/** A real mount helper in a mount namespace of its own, with a folder for what it is to mount. */
export class MounterUnderTest {
  readonly folder: string;
  readonly namespace: MountNamespace;
  readonly mounter: Mounter;

  private constructor(folder: string, namespace: MountNamespace) {
    this.folder = folder;
    this.namespace = namespace;
    const [file, ...rest] = [...namespace.enter, buildMountHelper(join(folder, 'mount-helper'))];
    this.mounter = new Mounter({ clock, onProblem: () => undefined }, [file, ...rest]);
  }

  static async start(): Promise<MounterUnderTest> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-mounts-')));
    return new MounterUnderTest(folder, await MountNamespace.start([]));
  }

  async close(): Promise<void> {
    this.mounter.close();
    await this.namespace.close();
    rmSync(this.folder, { recursive: true });
  }
}
