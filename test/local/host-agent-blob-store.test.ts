import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileStore } from '@warmpool/host-agent/blob/file-store.ts';
import { FolderStore } from '@warmpool/host-agent/blob/folder-store.ts';
import { HttpCredentials } from '@warmpool/host-agent/blob/http-credentials.ts';
import { HttpStore } from '@warmpool/host-agent/blob/http-store.ts';
import { S3Store } from '@warmpool/host-agent/blob/s3-store.ts';
import { createSourceDispatcher } from '@warmpool/host-agent/blob/source-dispatcher.ts';
import { systemClock } from '@warmpool/host-agent/clock.ts';
import { blobStoreContract } from '../contract/blob-store/suite.ts';
import type { S3Server } from '../support/s3-server.ts';
import { s3Put, startS3Server } from '../support/s3-server.ts';

const { signal } = new AbortController();
const folder = mkdtempSync(join(tmpdir(), 'warmpool-blobs-'));
const dispatcher = createSourceDispatcher({ allowLoopback: true });
/** Retries without waiting. */
const slept: number[] = [];
const clock = { ...systemClock, sleep: (delayMs: number) => Promise.resolve(void slept.push(delayMs)) };
const deps = { dispatcher, clock, random: () => 0.5, allowLoopback: true };
const noCredentials = new HttpCredentials(undefined);
const servers: Server[] = [];
let s3: S3Server | undefined;
let origin = '';

beforeAll(async () => {
  origin = await serve((request, response) => {
    try {
      response.end(readFileSync(join(folder, decodeURIComponent((request.url ?? '').split('?')[0] ?? ''))));
    } catch {
      response.writeHead(404).end('no');
    }
  });
  s3 = await startS3Server();
  if (s3 !== undefined) await s3Put(s3, 'code');
}, 360_000);

afterAll(async () => {
  for (const server of servers) server.close().closeAllConnections();
  await dispatcher.destroy();
  await s3?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function putFile(key: string, bytes: Buffer): Promise<string> {
  mkdirSync(dirname(join(folder, key)), { recursive: true });
  writeFileSync(join(folder, key), bytes);
  return Promise.resolve(key);
}

function s3Store(options: Partial<{ secretAccessKey: string; bucket: string; endpoint: string }> = {}): S3Store {
  const credentials = { accessKeyId: 'test-access', secretAccessKey: options.secretAccessKey ?? 'test-secret' };
  const endpoint = new URL(options.endpoint ?? s3?.endpoint ?? 'http://127.0.0.1:1');
  const signing = { kind: 'static' as const, credentials };
  const place = { endpoint, region: 'us-east-1', addressing: 'path' as const };
  return new S3Store(deps, options.bucket ?? 'code', { ...place, credentials: signing });
}

const asUrl = (key: string): string => `${origin}/${key.split('/').map(encodeURIComponent).join('/')}`;

blobStoreContract('a folder', () => ({ store: new FolderStore(folder), put: putFile, absent: (key) => key }));

blobStoreContract('a file:// root', () => ({
  store: new FileStore([folder]),
  put: async (key, bytes) => `file://${folder}/${encodeURI(await putFile(key, bytes))}`,
  absent: (key) => `file://${folder}/${key}`,
}));

blobStoreContract('plain HTTP', () => ({
  store: new HttpStore(deps, noCredentials),
  put: async (key, bytes) => asUrl(await putFile(key, bytes)),
  absent: asUrl,
}));

blobStoreContract('an S3 bucket', () =>
  s3 === undefined
    ? undefined
    : {
        store: s3Store(),
        put: async (key, bytes) => {
          if (s3 !== undefined) await s3Put(s3, `code/${key}`, bytes);
          return key;
        },
        absent: (key) => key,
      },
);

describe('an S3 bucket', () => {
  test('with wrong credentials is StoreRefused, a missing one ObjectNotFound by its name', async (context) => {
    if (s3 === undefined) return context.skip();
    await expect(s3Store({ secretAccessKey: 'wrong' }).open('a', { signal })).rejects.toMatchObject({
      code: 'StoreRefused',
      message: expect.stringContaining('status 403') as string,
    });
    await expect(s3Store({ bucket: 'elsewhere' }).open('a/b', { signal })).rejects.toMatchObject({
      code: 'ObjectNotFound',
      message: `object "a/b" of bucket "elsewhere" at ${s3.endpoint} does not exist`,
    });
  });

  test('that nobody serves is StoreUnreachable after three tries, by its endpoint', async () => {
    slept.length = 0;
    await expect(s3Store({ endpoint: 'http://127.0.0.1:1' }).open('a', { signal })).rejects.toMatchObject({
      code: 'StoreUnreachable',
      message: expect.stringContaining('http://127.0.0.1:1 cannot be used: the connection is refused') as string,
    });
    expect(slept).toHaveLength(2);
  });

  test('is not left by a key that climbs', async () => {
    await expect(s3Store().open('../other/secret', { signal })).rejects.toMatchObject({ code: 'SourceNotAllowed' });
  });
});

describe('plain HTTP', () => {
  const store = new HttpStore(deps, noCredentials);

  test('is tried again on 503 and given up after three', async () => {
    let requests = 0;
    const flaky = await serve((_request, response) => void response.writeHead(++requests < 3 ? 503 : 200).end('ok'));
    await store.open(`${flaky}/x`, { signal });
    expect(requests).toBe(3);
    const broken = await serve((_request, response) => void response.writeHead(500).end());
    await expect(store.open(`${broken}/x?sig=secret`, { signal })).rejects.toMatchObject({
      code: 'StoreUnreachable',
      message: `the store at ${broken} cannot be used: it answers 500 (3 tries)`,
    });
  });

  test('follows a few redirects, and names neither query nor password in what it says', async () => {
    const loop = await serve(
      (_request, response) => void response.writeHead(302, { location: '/again?t=secret' }).end(),
    );
    const error = await store.open(`${loop.replace('//', '//u:secret@')}/x`, { signal }).catch((error: Error) => error);
    expect(error).toMatchObject({
      code: 'SourceNotAllowed',
      message: expect.stringContaining('5 redirects') as string,
    });
    expect((error as Error).message).not.toContain('secret');
    await putFile('target', Buffer.from('there'));
    const hop = await serve(
      (_request, response) => void response.writeHead(307, { location: `${origin}/target` }).end(),
    );
    const { sizeBytes } = await store.open(`${hop}/x`, { signal });
    expect(sizeBytes).toBe(5);
  });

  test('sends a password to the host it is for and to no other', async () => {
    const seen: (string | undefined)[] = [];
    const target = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.end('x');
    });
    const hop = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(302, { location: `${target}/y` }).end();
    });
    await store.open(`${hop.replace('//', '//user:pass@')}/x`, { signal });
    expect(seen).toEqual([`Basic ${Buffer.from('user:pass').toString('base64')}`, undefined]);
  });

  test('that breaks off in the middle ends the stream with StoreUnreachable', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('some', () => response.destroy());
    });
    const { stream } = await store.open(`${server}/x`, { signal });
    const reading = (async () => {
      for await (const _chunk of stream);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'StoreUnreachable' });
  });

  test('does not reach the node itself unless allowed: by address, by name, by redirect', async () => {
    const guarded = createSourceDispatcher({ allowLoopback: false });
    const strict = new HttpStore({ ...deps, dispatcher: guarded, allowLoopback: false }, noCredentials);
    const { port } = new URL(origin);
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '0x7f.1', '[::ffff:127.0.0.1]', '169.254.169.254']) {
      await expect(strict.open(`http://${host}:${port}/target`, { signal })).rejects.toMatchObject({
        code: 'SourceNotAllowed',
      });
    }
    await guarded.destroy();
  });
});

describe('local files', () => {
  test('outside of the allowed roots are SourceNotAllowed, also through a link, and folders are no objects', async () => {
    writeFileSync(join(tmpdir(), 'warmpool-outside'), 'secret');
    symlinkSync(join(tmpdir(), 'warmpool-outside'), join(folder, 'way-out'));
    const [files, keys] = [new FileStore([folder]), new FolderStore(folder)];
    for (const open of [
      () => files.open(`file://${tmpdir()}/warmpool-outside`, { signal }),
      () => files.open(`file://${folder}/way-out`, { signal }),
      () => files.open(`file://${folder}/..%2fwarmpool-outside`, { signal }),
      () => keys.open('way-out', { signal }),
      () => new FileStore([]).open(`file://${folder}/way-out`, { signal }),
    ]) {
      await expect(open()).rejects.toMatchObject({ code: 'SourceNotAllowed' });
    }
    mkdirSync(join(folder, 'a-folder'), { recursive: true });
    await expect(keys.open('a-folder', { signal })).rejects.toMatchObject({ code: 'ObjectNotFound' });
    await expect(new FolderStore(join(folder, 'gone')).open('x', { signal })).rejects.toMatchObject({
      code: 'StoreUnreachable',
    });
    rmSync(join(tmpdir(), 'warmpool-outside'));
  });
});
