import type { Clock } from '../clock.ts';
import { Apiserver, type ApiserverOptions } from './apiserver.ts';
import { KubeSecretReader, NoSecretReader, type SecretReader } from './secret-reader.ts';

/** Of the apiserver that the configuration names, if it names one. */
export function openSecrets(
  clock: Clock,
  options: ApiserverOptions | undefined,
): { reader: SecretReader; close: () => Promise<void> } {
  if (options === undefined) return { reader: new NoSecretReader(), close: () => Promise.resolve() };
  const apiserver = new Apiserver({ clock, random: Math.random }, options);
  return { reader: new KubeSecretReader({ apiserver, clock }), close: () => apiserver.close() };
}
