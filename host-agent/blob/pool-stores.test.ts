import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeSchema } from '@warmpool/protocol/fields.ts';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import { systemClock } from '../clock.ts';
import { FetchBudget, DEFAULT_FETCH_BUDGET } from './fetch-budget.ts';
import { openSecrets } from '../secrets/open-secrets.ts';
import { FakeApiserver } from '../testing/fake-apiserver.ts';
import { ObjectServer } from '../testing/object-server.ts';
import { digestOf } from '../testing/unpacking.ts';
import { parseStore } from './config.ts';
import type { CodeSources } from './blob-sources.ts';
import { createSources } from './create-sources.ts';

const { signal } = new AbortController();
const access: CodeAccess = { namespace: 'team-a', secretName: 'code' };
const bytes = Buffer.from('the code');
const priority = { kind: 'claim', deadlineUnixMs: 0 } as const;
const NODE_KEYS = { AWS_ACCESS_KEY_ID: 'key-of-the-node', AWS_SECRET_ACCESS_KEY: 'secret-of-the-node' };
let folder: string;
let kube: FakeApiserver;
let server: ObjectServer;
let origin: string;
let secrets: ReturnType<typeof openSecrets>;
/** Who each request said it was. */
let asked: { path: string; authorization: string }[];
/** What an authorization must hold for the server to answer. */
let wanted: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warmpool-pool-stores-'));
  kube = await FakeApiserver.start(folder);
  server = new ObjectServer();
  origin = await server.listen();
  for (const path of ['bucket/code.tar', 'other/code.tar', 'own/code.tar', 'code.tar']) server.objects.set(path, bytes);
  [asked, wanted] = [[], ''];
  server.intercept = (request, response) => {
    const { authorization = '' } = request.headers;
    asked.push({ path: request.url ?? '', authorization });
    if (authorization.includes(wanted)) return false;
    response.writeHead(403).end();
    return true;
  };
  secrets = openSecrets(
    { clock: systemClock, onRead: () => {} },
    { url: new URL(kube.url), serviceAccountDir: kube.serviceAccountDir },
  );
});
afterEach(async () => {
  await Promise.all([server.close(), kube.close(), secrets.close()]);
  rmSync(folder, { recursive: true });
});

function sources(change: { allowLoopbackSources?: boolean; store?: string; mirror?: URL } = {}): CodeSources {
  const { allowLoopbackSources = true, store = `s3://bucket?endpoint=${origin}`, ...rest } = change;
  const budget = new FetchBudget(systemClock, DEFAULT_FETCH_BUDGET);
  return createSources(
    { clock: systemClock, budget, onMirror: () => {}, secrets: secrets.reader },
    {
      ...{ store: parseStore(store, NODE_KEYS), otherBuckets: [], allowFileRoot: [], allowLoopbackSources },
      ...{ mirror: undefined, caFile: undefined, httpCredentialsFile: undefined, ...rest },
    },
  );
}

async function fetched(
  where: { key: string } | { url: string },
  { as = access, from = sources() }: { as?: CodeAccess; from?: CodeSources } = {},
): Promise<string> {
  const code = { ...codeSchema.parse({ ...where, digest: digestOf(bytes), format: 'tar' }), access: as };
  const download = await from.open(code, { signal, priority, wantsTail: false });
  const chunks: Uint8Array[] = [];
  for await (const chunk of download.stream) chunks.push(Uint8Array.from(chunk));
  download.close();
  return Buffer.concat(chunks).toString();
}

describe('S3 with a pool’s Secret', () => {
  test('is asked as the Secret says, never as the host-agent itself, in whatever bucket', async () => {
    kube.secrets.set('team-a/code', { accessKeyId: 'key-of-team-a', secretAccessKey: 's' });
    const own = { ...access, store: `s3://own?endpoint=${origin}` };
    expect(await fetched({ key: 'code.tar' })).toBe('the code');
    expect(await fetched({ url: 's3://other/code.tar' })).toBe('the code');
    expect(await fetched({ key: 'code.tar' }, { as: own })).toBe('the code');
    expect(asked.map(({ path }) => path)).toEqual(['/bucket/code.tar', '/other/code.tar', '/own/code.tar']);
    for (const { authorization } of asked) expect(authorization).toContain('Credential=key-of-team-a/');
  });

  test('that refuses what the Secret held is asked again with what it holds now', async () => {
    kube.secrets.set('team-a/code', { accessKeyId: 'old', secretAccessKey: 's' });
    const from = sources();
    expect(await fetched({ key: 'code.tar' }, { from })).toBe('the code');
    wanted = 'Credential=new/';
    kube.secrets.set('team-a/code', { accessKeyId: 'new', secretAccessKey: 's' });
    expect(await fetched({ key: 'code.tar' }, { from })).toBe('the code');
    expect(new Set(asked.map(({ authorization }) => /Credential=(\w+)/.exec(authorization)?.[1]))).toEqual(
      new Set(['old', 'new']),
    );
  });

  test('that refuses is StoreRefused; a Secret or key that is missing is named', async () => {
    wanted = 'nobody';
    kube.secrets.set('team-a/code', { accessKeyId: 'wrong', secretAccessKey: 'canary' });
    await expect(fetched({ key: 'code.tar' })).rejects.toMatchObject({ code: 'StoreRefused', status: 502 });
    const half = { ...access, secretName: 'half' };
    kube.secrets.set('team-a/half', { accessKeyId: 'a' });
    await expect(fetched({ key: 'code.tar' }, { as: half })).rejects.toMatchObject({
      code: 'CredentialsMissing',
      message: 'Secret half in namespace team-a has no key secretAccessKey',
    });
    await expect(fetched({ key: 'code.tar' }, { as: { ...access, secretName: 'none' } })).rejects.toMatchObject({
      code: 'CredentialsMissing',
      message: 'Secret none in namespace team-a does not exist',
    });
  });

  test('does not go through a mirror, which answers one pool with what another may read', async () => {
    kube.secrets.set('team-a/code', { accessKeyId: 'a', secretAccessKey: 's' });
    const mirror = new ObjectServer();
    mirror.objects.set('bucket/code.tar', Buffer.from('what another pool has fetched'));
    const from = sources({ mirror: new URL(await mirror.listen()) });
    expect(await fetched({ key: 'code.tar' }, { from })).toBe('the code');
    expect(mirror.requests).toEqual([]);
    await mirror.close();
  });

  test('is not on the node itself where a pool says so, and needs a store that somebody has named', async () => {
    kube.secrets.set('team-a/code', { accessKeyId: 'a', secretAccessKey: 's' });
    const from = sources({ allowLoopbackSources: false });
    for (const host of [origin, origin.replace('127.0.0.1', 'localhost'), 'http://169.254.169.254']) {
      const as = { ...access, store: `s3://own?endpoint=${host}` };
      await expect(fetched({ key: 'code.tar' }, { as, from })).rejects.toMatchObject({ code: 'SourceNotAllowed' });
    }
    await expect(fetched({ key: 'code.tar' }, { from: sources({ store: `folder:${folder}` }) })).rejects.toMatchObject({
      code: 'SourceNotAllowed',
      message: expect.stringContaining('spec.code.store') as string,
    });
    expect(asked).toEqual([]);
  });
});

describe('HTTP with a pool’s Secret', () => {
  test('is told the bearer token where the Secret’s url says so', async () => {
    kube.secrets.set('team-a/code', { url: `${origin}/`, bearer: 'token-of-team-a' });
    wanted = 'Bearer token-of-team-a';
    expect(await fetched({ url: `${origin}/code.tar` })).toBe('the code');
  });

  test('is told nothing where it does not, and the refusal says why', async () => {
    kube.secrets.set('team-a/code', { url: 'https://elsewhere.example.com/', username: 'me', password: 'canary' });
    expect(await fetched({ url: `${origin}/code.tar` })).toBe('the code');
    expect(asked.at(-1)?.authorization).toBe('');
    wanted = 'Basic';
    const error = await fetched({ url: `${origin}/code.tar` }).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({
      code: 'CredentialsMissing',
      message: expect.stringMatching(/^Secret code in namespace team-a has no key url .*403/) as string,
    });
    expect(String(error)).not.toContain('canary');
  });

  test('from a registry takes what kubectl create secret docker-registry makes', async () => {
    const { host } = new URL(origin);
    const auth = Buffer.from('me:pass').toString('base64');
    kube.secrets.set('team-a/code', { '.dockerconfigjson': JSON.stringify({ auths: { [host]: { auth } } }) });
    server.objects.set(`v2/team/app/blobs/${digestOf(bytes)}`, bytes);
    server.intercept = ({ headers }, response) => {
      if (headers.authorization === `Basic ${auth}`) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      return true;
    };
    expect(await fetched({ url: `oci://${host}/team/app` })).toBe('the code');
    kube.secrets.set('team-a/empty', {});
    await expect(
      fetched({ url: `oci://${host}/team/app` }, { as: { ...access, secretName: 'empty' } }),
    ).rejects.toMatchObject({ code: 'CredentialsMissing' });
  });
});
