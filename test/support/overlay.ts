import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export const MANIFESTS = join(import.meta.dirname, '../../manifests');

/** A kustomization of somebody's own, beside those of the product: paths in it begin with `../`. Gone when `use` is done. */
export async function withOverlay<Result>(
  kustomization: { namespace?: string; resources: string[]; components?: readonly string[] },
  use: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(MANIFESTS, '.own-'));
  try {
    await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
