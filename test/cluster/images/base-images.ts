import { addNode, findNpm, linkJava, makeRootfs, versionsOf } from './machine-rootfs.ts';

/** What an image that cannot be downloaded is replaced by: a build argument of the Dockerfiles, made from this machine's own files. */
export interface BaseImage {
  tag: string;
  /** Changes when what is made changes. */
  version(): Promise<string>;
  make(folder: string): Promise<void>;
}

const C_RUNTIME = ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6', 'tzdata'];
const BUILD_TOOLS = [...C_RUNTIME, 'coreutils', 'dash'];
const PYTHON = [...C_RUNTIME, 'python3-minimal', 'python3.11'];

function ofPackages(tag: string, packages: string[]): BaseImage {
  return { tag, version: () => versionsOf(packages), make: (folder) => makeRootfs(folder, packages) };
}

function ofJava(tag: string, packages: string[]): BaseImage {
  return {
    ...ofPackages(tag, packages),
    async make(folder) {
      await makeRootfs(folder, packages);
      await linkJava(folder);
    },
  };
}

/** In the place of distroless `cc`. */
export const CC_BASE = ofPackages('warmpool.test/cc:12', C_RUNTIME);

/** In the place of distroless `python3`. */
export const PYTHON_BASE = ofPackages('warmpool.test/python:3.11', PYTHON);

/** In the place of `eclipse-temurin:17-jre`. */
export const JRE_BASE = ofJava('warmpool.test/jre:17', [...BUILD_TOOLS, 'openjdk-17-jre-headless']);

/** In the place of `eclipse-temurin:17-jdk`. */
export const JDK_BASE = ofJava('warmpool.test/jdk:17', [...BUILD_TOOLS, 'openjdk-17-jdk-headless']);

/** In the place of an nginx image. */
export const NGINX_BASE = ofPackages('warmpool.test/nginx:1', [...C_RUNTIME, 'nginx-light']);

/** In the place of the `gcc` image. */
export const COMPILER_BASE = ofPackages('warmpool.test/compiler:12', [...BUILD_TOOLS, 'gcc', 'libc6-dev']);

/** In the place of `node:24-bookworm-slim`. */
export const NODE_BASE: BaseImage = {
  tag: 'warmpool.test/node:24',
  async version() {
    return [process.version, await versionsOf(BUILD_TOOLS)].join('\n');
  },
  async make(folder) {
    await makeRootfs(folder, BUILD_TOOLS);
    await addNode(folder, process.execPath, await findNpm());
  },
};
