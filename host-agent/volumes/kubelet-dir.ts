import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { podUidSchema } from '@warmpool/protocol/fields.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';

export interface VolumeTarget {
  podUid: PodUid;
  /** Links resolved: as the mount table shows it. */
  path: string;
}

/** The kubelet's folder, as far as it tells which pods exist and where their volumes go. */
export class KubeletDir {
  readonly #given: string;
  readonly #real: string;

  constructor(path: string) {
    this.#given = path;
    this.#real = realpathSync(path);
  }

  /** Where the kubelet wants a CSI volume of a pod, or undefined if a path is no such place: nothing else is ever mounted on. */
  parseTarget(path: string): VolumeTarget | undefined {
    for (const root of new Set([this.#given, this.#real])) {
      if (!path.startsWith(`${root}/pods/`)) continue;
      const [uid, ...rest] = path.slice(`${root}/pods/`.length).split('/');
      const podUid = podUidSchema.safeParse(uid).data;
      const [volumes, plugin, name = '', mount] = rest;
      const isPlace = volumes === 'volumes' && plugin === 'kubernetes.io~csi' && mount === 'mount' && rest.length === 4;
      if (podUid === undefined || !isPlace || !/^[A-Za-z0-9]([A-Za-z0-9._-]*)$/.test(name)) return undefined;
      return { podUid, path: join(this.#real, 'pods', podUid, ...rest) };
    }
    return undefined;
  }

  /** Where the kubelet keeps an emptyDir of a pod. */
  emptyDir(podUid: PodUid, name: string): string {
    return join(this.#real, 'pods', podUid, 'volumes', 'kubernetes.io~empty-dir', name);
  }

  /** The kubelet removes this folder last, when nothing of the pod is left. */
  hasPod(podUid: PodUid): boolean {
    return existsSync(join(this.#real, 'pods', podUid));
  }

  /** Without it no pod can be said to be gone. */
  get isThere(): boolean {
    return existsSync(join(this.#real, 'pods'));
  }
}
