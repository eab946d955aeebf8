import { Apiserver, type ApiserverOptions } from './apiserver.ts';
import { KubeSecretReader, NoSecretReader, type KubeSecretReaderDeps, type SecretReader } from './secret-reader.ts';

type OpenSecretsDeps = Omit<KubeSecretReaderDeps, 'apiserver'>;

/** Of the apiserver that the configuration names, if it names one. */
export function openSecrets(
  { clock, onRead }: OpenSecretsDeps,
  options: ApiserverOptions | undefined,
): { reader: SecretReader; close: () => Promise<void> } {
  if (options === undefined) return { reader: new NoSecretReader(), close: () => Promise.resolve() };
  const apiserver = new Apiserver({ clock, random: Math.random }, options);
  return { reader: new KubeSecretReader({ apiserver, clock, onRead }), close: () => apiserver.close() };
}
