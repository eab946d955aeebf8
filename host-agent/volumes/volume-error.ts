/** Why a volume was not made or not taken away; whoever asked gets the sentence. */
export type VolumeFault = 'conflict' | 'notReady' | 'unavailable' | 'failed';

export class VolumeError extends Error {
  override readonly name = 'VolumeError';
  readonly fault: VolumeFault;

  constructor(fault: VolumeFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.fault = fault;
  }
}
