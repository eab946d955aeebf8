import { getSystemErrorMap } from 'node:util';

/** The kernel said no: nothing was mounted or unmounted. */
export class MountError extends Error {
  override readonly name = 'MountError';
  /** As in `ENOENT`. */
  readonly code: string;

  constructor(errno: number, step: string, request: string) {
    const [code, words] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'an unknown error'];
    super(`${step} failed with ${code} (${words}) for ${request}`);
    this.code = code;
  }
}

/** No answer came: it may have happened or not. Only the mount table knows. */
export class MountUncertain extends Error {
  override readonly name = 'MountUncertain';
}

/** Not even asked. */
export class MountUnavailable extends Error {
  override readonly name = 'MountUnavailable';
}
