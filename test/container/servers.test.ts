import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenericContainer, type StartedTestContainer, Wait } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import { S3Store } from '@warmpool/host-agent/blob/s3-store.ts';
import { createSourceDispatcher } from '@warmpool/host-agent/blob/source-dispatcher.ts';
import { systemClock } from '@warmpool/host-agent/clock.ts';
import { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import { NGINX_BASE } from '../cluster/images/base-images.ts';
import { blobStoreContract } from '../contract/blob-store/suite.ts';
import { S3_CREDENTIALS, s3Put } from '../support/s3-server.ts';
import { S3_IMAGE } from './global-setup.ts';
import { makeShared } from './restricted-container.ts';
import { useEngine } from './use-engine.ts';

const engine = inject('engine');
const TEMPLATE = join(import.meta.dirname, '../../manifests/mirror/nginx.conf.template');
const S3_PORT = 7070;
const MIRROR_PORT = 8080;
const MIB = 1024 ** 2;
const anyStatus = (): boolean => true;

describe.skipIf(engine === undefined)('servers in containers', () => {
  const started: StartedTestContainer[] = [];
  const dispatcher = createSourceDispatcher({ allowLoopback: true });
  let s3: { endpoint: string; credentials: typeof S3_CREDENTIALS };
  let store: S3Store;
  let mirror: string;

  beforeAll(async () => {
    if (engine === undefined) return;
    useEngine(engine);
    s3 = { endpoint: await startS3(), credentials: S3_CREDENTIALS };
    await s3Put(s3, 'code');
    const place = { endpoint: new URL(s3.endpoint), region: 'us-east-1', addressing: 'path' as const };
    const deps = { dispatcher, clock: systemClock, random: () => 0.5, allowLoopback: true };
    store = new S3Store(deps, 'code', { ...place, credentials: { kind: 'static', credentials: S3_CREDENTIALS } });
    mirror = await startMirror();
  });
  afterAll(async () => {
    for (const each of started) await each.stop({ timeout: 0 });
    await dispatcher.destroy();
  });

  const urlOf = (container: StartedTestContainer, port: number): string =>
    `http://${container.getHost()}:${container.getMappedPort(port)}`;

  async function startS3(): Promise<string> {
    const container = await new GenericContainer(S3_IMAGE)
      .withCommand(['--port', `:${S3_PORT}`, '--quiet', 'posix', '/data'])
      .withEnvironment({ ROOT_ACCESS_KEY: S3_CREDENTIALS.accessKeyId, ROOT_SECRET_KEY: S3_CREDENTIALS.secretAccessKey })
      .withBindMounts([{ source: await makeShared(engine?.folder ?? '', 's3'), target: '/data' }])
      .withUser('65532')
      .withExposedPorts(S3_PORT)
      .withWaitStrategy(Wait.forHttp('/', S3_PORT).forStatusCodeMatching(anyStatus))
      .start();
    started.push(container);
    return urlOf(container, S3_PORT);
  }

  /** With the template of manifests/mirror, as its image fills it in. */
  async function startMirror(): Promise<string> {
    const values = {
      CACHE_DIR: '/var/cache/mirror',
      CACHE_SIZE: '1g',
      LISTEN: String(MIRROR_PORT),
      STORE_URL: s3.endpoint,
    };
    const config = Object.entries(values).reduce(
      (text, [name, value]) => text.replaceAll(`\${${name}}`, value),
      await readFile(TEMPLATE, 'utf8'),
    );
    const source = join(engine?.folder ?? '', 'nginx.conf');
    await writeFile(source, config);
    const container = await new GenericContainer(NGINX_BASE.tag)
      .withCommand(['nginx', '-e', 'stderr', '-g', 'daemon off;'])
      .withBindMounts([
        { source, target: '/etc/nginx/nginx.conf', mode: 'ro' },
        { source: await makeShared(engine?.folder ?? '', 'nginx'), target: '/var/lib/nginx' },
      ])
      .withTmpFs({ '/var/cache/mirror': 'mode=1777' })
      .withUser('101')
      .withDroppedCapabilities('ALL')
      .withExposedPorts(MIRROR_PORT)
      .withWaitStrategy(Wait.forHttp('/', MIRROR_PORT).forStatusCodeMatching(anyStatus))
      .start();
    started.push(container);
    return urlOf(container, MIRROR_PORT);
  }

  blobStoreContract('an S3 server in a container', () =>
    engine === undefined
      ? undefined
      : {
          store,
          put: async (key, bytes) => {
            await s3Put(s3, `code/${key}`, bytes);
            return key;
          },
          absent: (key) => key,
        },
  );

  test('a host-agent fetches code from the S3 server by way of nginx', async () => {
    const bytes = tarOf([{ name: 'data.bin', body: randomBytes(9 * MIB) }]);
    await s3Put(s3, 'code/app.tar', bytes);
    const folder = await mkdtemp(join(tmpdir(), 'warmpool-container-'));
    const { accessKeyId, secretAccessKey } = S3_CREDENTIALS;
    const host = await HostAgentProcess.start(
      folder,
      ['--store', `s3://code?endpoint=${s3.endpoint}`, '--mirror', mirror],
      { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    );
    try {
      const code = { key: 'app.tar', digest: digestOf(bytes), format: 'tar' };
      expect(await host.request('POST', '/v1/prefetch', { code })).toMatchObject({ statusCode: 202 });
      const item = async (): Promise<unknown> =>
        (await host.request<PrefetchList>('GET', '/v1/prefetch')).body.items.at(-1);
      await expect.poll(item, { timeout: 60_000 }).toMatchObject({ digest: code.digest, state: 'cached' });
      const { body } = await host.request<string>('GET', '/metrics');
      expect(body).toMatch(/warmpool_host_mirror_requests_total\{outcome="served"\} \d/);
      expect(body).not.toMatch(/warmpool_host_mirror_requests_total\{outcome="(unreachable|wrong_bytes)"\} [1-9]/);
    } finally {
      await host.end('SIGTERM');
      await rm(folder, { recursive: true });
    }
  });
});
