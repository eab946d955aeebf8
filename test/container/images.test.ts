import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { z } from 'zod';
import { buildAfresh, buildImages, PRODUCT_IMAGES } from '../cluster/images/build-images.ts';

const hasEngine = inject('engine') !== undefined;
const REPOSITORY = join(import.meta.dirname, '../..');
/** Some of what only this repository's own work needs. */
const DEVELOPMENT = ['vitest', 'vite', 'typescript', 'oxlint', 'prettier', 'knip', 'testcontainers', 'fast-check'];
const run = promisify(execFile);

const manifestSchema = z.array(z.object({ Config: z.string(), Layers: z.array(z.string()) }));
const sbomSchema = z.object({ components: z.array(z.object({ name: z.string(), purl: z.string() })) });

/** The operator stands for what has npm packages in it, the Node runtime for what has none. */
describe.skipIf(!hasEngine).each(['operator', 'runtime-nodejs'])('the image %s', (name) => {
  const recipes = PRODUCT_IMAGES.filter(({ tag }) => tag.includes(`/${name}:`));
  let folder: string;
  let archive: string;

  beforeAll(async () => {
    if (!hasEngine) return;
    folder = await mkdtemp(join(tmpdir(), 'warmpool-image-test-'));
    [archive = ''] = await buildImages(recipes, process.env);
  });
  afterAll(async () => {
    if (hasEngine) await rm(folder, { recursive: true });
  });

  // a build takes a minute, and the other's are copies only
  if (name === 'operator')
    test('has the same id when it is built again, and so the same bytes in every layer', async () => {
      const again = join(folder, 'again.tar');
      for (const recipe of recipes) await buildAfresh(recipe, again, process.env);
      expect(await contentsOf(again)).toEqual(await contentsOf(archive));
    });

  test('holds the npm packages of its list and no others', async () => {
    const found = await packagesIn(archive);
    expect(found.filter((each) => DEVELOPMENT.includes(each))).toEqual([]);
    if (name !== 'operator') return expect(found).toEqual([]);
    const args = ['run', '--silent', 'sbom', '--', '--workspace=@warmpool/operator'];
    const { stdout } = await run('npm', args, { cwd: REPOSITORY, maxBuffer: 64 * 1024 * 1024 });
    const { components } = sbomSchema.parse(JSON.parse(stdout));
    const foreign = components.filter(({ purl }) => !purl.includes('warmpool')).map((component) => component.name);
    expect(found.length).toBeGreaterThan(50);
    expect(found).toEqual([...new Set(foreign)].sort());
  });
});

async function contentsOf(archive: string): Promise<{ id: string; layers: string[] } | undefined> {
  const { stdout } = await run('tar', ['-xOf', archive, 'manifest.json']);
  const [image] = manifestSchema.parse(JSON.parse(stdout));
  // both are named after their digests
  return image && { id: image.Config, layers: image.Layers };
}

/** Of all layers, by the folders that they are in. */
async function packagesIn(archive: string): Promise<string[]> {
  const found = new Set<string>();
  for (const layer of (await contentsOf(archive))?.layers ?? []) {
    const list = `tar -xOf "$1" "$2" | tar -tf -`;
    const { stdout } = await run('sh', ['-c', list, 'sh', archive, layer], { maxBuffer: 64 * 1024 * 1024 });
    for (const [, name = ''] of stdout.matchAll(/node_modules\/((?:@[^/\n]+\/)?[^/@.\n][^/\n]*)\/package\.json$/gm)) {
      found.add(name);
    }
  }
  return [...found].sort();
}
