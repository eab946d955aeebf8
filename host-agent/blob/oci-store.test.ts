import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { ObjectServer } from '../testing/object-server.ts';
import { digestOf } from '../testing/unpacking.ts';
import type { OpenedBlob } from './blob-store.ts';
import { HttpCredentials } from './http-credentials.ts';
import { HttpStore } from './http-store.ts';
import { OciStore } from './oci-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

const { signal } = new AbortController();
const dispatcher = createSourceDispatcher({ allowLoopback: true });
const deps = { dispatcher, clock: systemClock, random: () => 0.5, allowLoopback: true };
const layer = Buffer.from('the bytes of a layer');
const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [{ digest: digestOf(layer) }] }));
let registry: ObjectServer;
let blobs: ObjectServer;
let host: string;
let folder: string;
let credentialsFile: string;
/** What each request to the registry said about who asks. */
let asked: { path: string; authorization: string | undefined }[];

/** A registry that wants a token of its own service, and sends its readers to another store for the bytes. */
beforeEach(async () => {
  [registry, blobs, asked] = [new ObjectServer(), new ObjectServer(), []];
  host = new URL(await registry.listen()).host;
  const blobOrigin = await blobs.listen();
  blobs.objects.set('layer', layer);
  folder = mkdtempSync(join(tmpdir(), 'warmpool-oci-'));
  credentialsFile = join(folder, 'credentials.json');
  writeFileSync(credentialsFile, JSON.stringify([{ url: `oci://${host}/team`, username: 'me', password: 'secret' }]));
  registry.intercept = (request, response) => {
    const { authorization } = request.headers;
    const url = new URL(request.url ?? '', `http://${host}`);
    asked.push({ path: url.pathname, authorization });
    if (url.pathname === '/token') {
      expect(Object.fromEntries(url.searchParams)).toEqual({ service: 'reg', scope: 'repository:team/app:pull' });
      if (authorization !== `Basic ${Buffer.from('me:secret').toString('base64')}`) response.writeHead(401).end();
      else response.end(JSON.stringify({ token: 'granted' }));
    } else if (authorization !== 'Bearer granted') {
      const challenge = `Bearer realm="http://${host}/token",service="reg",scope="whatever"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    } else if (url.pathname.endsWith(`/blobs/${digestOf(layer)}`)) {
      response.writeHead(307, { location: `${blobOrigin}/layer` }).end();
    } else if (/\/manifests\/(v1|sha256:.*)$/.test(url.pathname)) response.end(manifest);
    else response.writeHead(404).end();
    return true;
  };
  blobs.intercept = (request) => {
    asked.push({ path: 'the blob store', authorization: request.headers.authorization });
    return false;
  };
});
afterEach(async () => {
  await Promise.all([registry.close(), blobs.close()]);
  rmSync(folder, { recursive: true });
});

const open = (reference: string, digest = digestOf(layer)): Promise<OpenedBlob> =>
  new OciStore(deps, new HttpCredentials(credentialsFile)).open(`oci://${host}/team/app${reference}#${digest}`, {
    signal,
  });

async function read({ stream }: OpenedBlob): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += Buffer.from(chunk).toString();
  return text;
}

describe('a registry', () => {
  test('gives a layer by its digest, for a token that it alone is told', async () => {
    expect(await read(await open(''))).toBe(layer.toString());
    expect(asked.map(({ path }) => path.split('/').slice(0, 4).join('/'))).toEqual([
      '/v2/team/app',
      '/token',
      '/v2/team/app',
      'the blob store',
    ]);
    expect(asked.at(-1)?.authorization).toBeUndefined();
  });

  test('is asked for the manifest of a tag or digest first, which must list the layer and be what it is called', async () => {
    expect(await read(await open(':v1'))).toBe(layer.toString());
    expect(await read(await open(`@${digestOf(manifest)}`))).toBe(layer.toString());
    await expect(open(`@${digestOf(layer)}`)).rejects.toMatchObject({ code: 'DigestMismatch' });
    const elsewhere = digestOf(Buffer.from('elsewhere'));
    await expect(open(':v1', elsewhere)).rejects.toMatchObject({
      code: 'ObjectNotFound',
      message: `layer ${elsewhere} in oci://${host}/team/app:v1 does not exist`,
    });
    await expect(open(':v2')).rejects.toMatchObject({ code: 'ObjectNotFound' });
  });

  test('that does not know who asks refuses, and no password is in what is said about it', async () => {
    writeFileSync(
      credentialsFile,
      JSON.stringify([{ url: `oci://${host}/team`, username: 'me', password: 'wrong-one' }]),
    );
    const error = await open('').catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: 'StoreRefused' });
    expect((error as Error).message).not.toContain('wrong-one');
    await expect(open('/../../x')).rejects.toMatchObject({ code: 'SourceNotAllowed' });
  });
});

describe('a server that asks who it is', () => {
  test('gets the credentials of its longest prefix, the next host after a redirect none', async () => {
    const origin = `http://${host}`;
    const lines = [
      { url: `${origin}/`, bearer: 'wide' },
      { url: `${origin}/private/`, bearer: 'narrow' },
    ];
    writeFileSync(credentialsFile, JSON.stringify(lines));
    registry.intercept = (request, response) => {
      asked.push({ path: request.url ?? '', authorization: request.headers.authorization });
      response.writeHead(302, { location: new URL('/layer', blobsOrigin()).href }).end();
      return true;
    };
    const store = new HttpStore(deps, new HttpCredentials(credentialsFile));
    for (const path of ['/public', '/private/x'])
      expect(await read(await store.open(origin + path, { signal }))).toBe(layer.toString());
    expect(asked.map(({ authorization }) => authorization)).toEqual([
      'Bearer wide',
      undefined,
      'Bearer narrow',
      undefined,
    ]);
  });

  test('has a credentials file that is wrong named, without a word of what is in it', async () => {
    writeFileSync(credentialsFile, JSON.stringify([{ url: `http://${host}/`, bearer: '', password: 'secret' }]));
    const store = new HttpStore(deps, new HttpCredentials(credentialsFile));
    const error = await store.open(`http://${host}/x`, { signal }).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: 'StoreRefused', message: expect.stringContaining(credentialsFile) as string });
    expect((error as Error).message).not.toContain('secret');
  });
});

function blobsOrigin(): string {
  const address = blobs.server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}
