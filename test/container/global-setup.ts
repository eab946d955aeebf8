import type { TestProject } from 'vitest/node';
import { buildBaseImage, buildImages, buildProgramImage, PRODUCT_IMAGES } from '../cluster/images/build-images.ts';
import { NGINX_BASE } from '../cluster/images/base-images.ts';
import { findOrBuildS3Server } from '../support/s3-server.ts';
import { type Engine, missingForEngine, startEngine } from './engine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Undefined when the tier has to be skipped on this machine. */
    engine: Engine | undefined;
  }
}

export const S3_IMAGE = 'warmpool.test/s3:1';

/** One engine for the whole tier, with the images of the runtimes and of the servers on it. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { env } = process;
  const missing = await missingForEngine(env);
  const s3Server = missing.length > 0 ? undefined : findOrBuildS3Server();
  if (s3Server === undefined) {
    process.stdout.write(`skipped: container tier: missing ${missing.join(', ') || 'go, to build an S3 server'}\n`);
    project.provide('engine', undefined);
    return undefined;
  }
  const runtimes = PRODUCT_IMAGES.filter(({ tag }) => tag.includes('/runtime-'));
  const { engine, stop } = await startEngine([
    ...(await buildImages(runtimes, env)),
    await buildBaseImage(NGINX_BASE, env),
    await buildProgramImage(S3_IMAGE, s3Server, env),
  ]);
  project.provide('engine', engine);
  return stop;
}
