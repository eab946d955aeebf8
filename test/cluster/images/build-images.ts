import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type BaseImage, CC_BASE, COMPILER_BASE, JDK_BASE, JRE_BASE, NODE_BASE, PYTHON_BASE } from './base-images.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');
const BUILD_LIMIT_MS = 300_000;
const KEPT_MS = 3 * 24 * 3_600_000;
/** The same for every build: what is in an image does not depend on when it was made. */
const SOURCE_DATE_EPOCH = '1767225600';
const run = promisify(execFile);

interface ImageRecipe {
  tag: string;
  dockerfile: string;
  bases: Record<string, BaseImage>;
  /** What the build copies, for the cache. */
  sources: string[];
}

const PACKAGE_FILES = ['package.json', 'package-lock.json', '.dockerignore'];

export const PRODUCT_IMAGES: ImageRecipe[] = [
  {
    tag: 'warmpool.dev/operator:0.1.0',
    dockerfile: 'images/operator.Dockerfile',
    bases: { NODE: NODE_BASE, BASE: CC_BASE },
    sources: [...PACKAGE_FILES, 'protocol', 'wire', 'operator', 'docs/api'],
  },
  {
    tag: 'warmpool.dev/host-agent:0.1.0',
    dockerfile: 'images/host-agent.Dockerfile',
    bases: { NODE: NODE_BASE, COMPILER: COMPILER_BASE, BASE: CC_BASE },
    sources: [...PACKAGE_FILES, 'protocol', 'wire', 'host-agent', 'runtime-agent/bootstrap/nodejs'],
  },
  {
    tag: 'warmpool.dev/runtime-nodejs:24',
    dockerfile: 'images/runtime-nodejs.Dockerfile',
    bases: { NODE: NODE_BASE, BASE: CC_BASE },
    sources: ['.dockerignore', 'runtime-agent/bootstrap/nodejs'],
  },
  {
    tag: 'warmpool.dev/runtime-python:3.11',
    dockerfile: 'images/runtime-python.Dockerfile',
    bases: { BASE: PYTHON_BASE },
    sources: ['.dockerignore', 'runtime-agent/bootstrap/python'],
  },
  {
    tag: 'warmpool.dev/runtime-java:17',
    dockerfile: 'images/runtime-java.Dockerfile',
    bases: { JDK: JDK_BASE, BASE: JRE_BASE },
    sources: ['.dockerignore', 'runtime-agent/bootstrap/java'],
  },
];

/** Archives of the images, built from their Dockerfiles on bases of this machine's own files, or found in the user's cache folder. */
export async function buildImages(recipes: ImageRecipe[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const cache = imageCache(env);
  await mkdir(cache, { recursive: true });
  await using builder = await ImageBuilder.open(env);
  const archives: string[] = [];
  for (const recipe of recipes) {
    const archive = join(cache, `${fileName(recipe.tag)}-${await recipeKey(recipe)}.tar`);
    if (!existsSync(archive)) {
      process.stderr.write(`building the image ${recipe.tag}\n`);
      await builder.build(recipe, archive);
      await removeOutdated(cache);
    }
    archives.push(archive);
  }
  return archives;
}

/** Whatever is in the cache: to see whether the result is the same. */
export async function buildAfresh(recipe: ImageRecipe, archive: string, env: NodeJS.ProcessEnv): Promise<void> {
  await using builder = await ImageBuilder.open(env);
  await builder.build(recipe, archive);
}

/** An image of one program that needs nothing below it. */
export async function buildProgramImage(tag: string, binary: string, env: NodeJS.ProcessEnv): Promise<string> {
  const version = digestOf([await readFile(binary)]);
  return cached(tag, version, env, (builder, archive) => builder.buildProgram(tag, binary, archive));
}

/** An image of what other images are based on. */
export async function buildBaseImage(base: BaseImage, env: NodeJS.ProcessEnv): Promise<string> {
  const version = digestOf([await base.version()]);
  return cached(base.tag, version, env, (builder, archive) => builder.buildBase(base, archive));
}

async function cached(
  tag: string,
  version: string,
  env: NodeJS.ProcessEnv,
  build: (builder: ImageBuilder, archive: string) => Promise<void>,
): Promise<string> {
  const cache = imageCache(env);
  await mkdir(cache, { recursive: true });
  const archive = join(cache, `${fileName(tag)}-${version}.tar`);
  if (existsSync(archive)) return archive;
  await using builder = await ImageBuilder.open(env);
  await build(builder, archive);
  return archive;
}

/** Builds with Buildah in a folder of its own: no daemon, nothing left afterwards. */
class ImageBuilder implements AsyncDisposable {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #made = new Set<string>();

  private constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.#folder = folder;
    this.#env = env;
  }

  static async open(env: NodeJS.ProcessEnv): Promise<ImageBuilder> {
    return new ImageBuilder(await mkdtemp(join(tmpdir(), 'warmpool-images-')), env);
  }

  async build({ tag, dockerfile, bases }: ImageRecipe, archive: string): Promise<void> {
    for (const base of Object.values(bases)) await this.#makeBase(base);
    const args = Object.entries(bases).map(([name, base]) => `--build-arg=${name}=${base.tag}`);
    await this.#bud(tag, [
      ...args,
      ...(await npmSettings(this.#folder, this.#env)),
      `--file=${dockerfile}`,
      REPOSITORY,
    ]);
    await this.#save(tag, archive);
  }

  async buildProgram(tag: string, binary: string, archive: string): Promise<void> {
    const context = await mkdtemp(join(this.#folder, 'context-'));
    await copyFile(binary, join(context, 'program'));
    await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY program /program\nENTRYPOINT ["/program"]\n');
    await this.#bud(tag, [context]);
    await this.#save(tag, archive);
  }

  async buildBase(base: BaseImage, archive: string): Promise<void> {
    await this.#makeBase(base);
    await this.#save(base.tag, archive);
  }

  async #makeBase(base: BaseImage): Promise<void> {
    if (this.#made.has(base.tag)) return;
    const context = await mkdtemp(join(this.#folder, 'context-'));
    const rootfs = join(context, 'rootfs');
    await mkdir(rootfs);
    await base.make(rootfs);
    await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY rootfs /\n');
    await this.#bud(base.tag, [context]);
    await rm(context, { recursive: true });
    this.#made.add(base.tag);
  }

  async #bud(tag: string, args: string[]): Promise<void> {
    const how = ['--isolation=chroot', '--network=host', '--pull-never', `--timestamp=${SOURCE_DATE_EPOCH}`];
    const epoch = `--build-arg=SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}`;
    await this.#buildah('bud', ...how, epoch, `--tag=${tag}`, ...args);
  }

  async #save(tag: string, archive: string): Promise<void> {
    const unfinished = `${archive}.${process.pid}`;
    try {
      await this.#buildah('push', tag, `docker-archive:${unfinished}:${tag}`);
      // Atomic: two runs that build at once both end with a whole file.
      await rename(unfinished, archive);
    } finally {
      await rm(unfinished, { force: true });
    }
  }

  async #buildah(...args: string[]): Promise<void> {
    const storage = [`--root=${this.#folder}/root`, `--runroot=${this.#folder}/run`, '--storage-driver=overlay'];
    // it leaves a mount behind, unless it has mounts of its own
    await run('unshare', ['--mount', 'buildah', ...storage, ...args], {
      cwd: REPOSITORY,
      timeout: BUILD_LIMIT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** How npm reaches its registry here: lent to the build, never part of an image. */
async function npmSettings(folder: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const { stdout } = await run('npm', ['config', 'list', '--json'], { cwd: REPOSITORY });
  const config = JSON.parse(stdout) as Record<'cache' | 'userconfig' | 'cafile', string | null>;
  const cafile = config.cafile ?? env['NODE_EXTRA_CA_CERTS'];
  const settings = config.userconfig === null ? '' : await readFile(config.userconfig, 'utf8').catch(() => '');
  const npmrc = join(folder, 'npmrc');
  await writeFile(npmrc, [settings, 'prefer-offline=true', cafile ? `cafile=${cafile}` : ''].join('\n'));
  const lent = [`${npmrc}:/root/.npmrc:ro`];
  if (cafile && existsSync(cafile)) lent.push(`${cafile}:${cafile}:ro`);
  if (config.cache !== null && existsSync(config.cache)) lent.push(`${config.cache}:/root/.npm`);
  return lent.map((volume) => `--volume=${volume}`);
}

function imageCache(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'warmpool', 'images');
}

function fileName(tag: string): string {
  return tag.replaceAll(/[/:]/g, '_');
}

async function recipeKey({ dockerfile, bases, sources }: ImageRecipe): Promise<string> {
  const parts: (string | Buffer)[] = [SOURCE_DATE_EPOCH];
  for (const [name, base] of Object.entries(bases)) parts.push(name, await base.version());
  for (const source of [dockerfile, ...sources]) {
    for (const path of await filesBelow(source)) parts.push(path, await readFile(join(REPOSITORY, path)));
  }
  return digestOf(parts);
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(join(REPOSITORY, path), { recursive: true, withFileTypes: true }).catch(
    () => undefined,
  );
  if (entries === undefined) return [path];
  return entries
    .filter(
      (entry) =>
        entry.isFile() && !/node_modules|__pycache__|\/prepared\/|\.test\.ts$/.test(join(entry.parentPath, entry.name)),
    )
    .map((entry) => join(entry.parentPath, entry.name).slice(REPOSITORY.length + 1))
    .sort();
}

function digestOf(parts: (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}\n`).update(part);
  return hash.digest('hex').slice(0, 16);
}

/** Other checkouts share the cache; what nobody made lately is of sources that are gone. */
async function removeOutdated(cache: string): Promise<void> {
  for (const file of await readdir(cache)) {
    const path = join(cache, file);
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > KEPT_MS) await rm(path, { force: true });
  }
}
