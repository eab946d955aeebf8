import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { ObjectServer } from '../testing/object-server.ts';
import type { S3CredentialSource } from './s3-credentials.ts';
import { S3CredentialProvider } from './s3-credentials.ts';
import { S3Store } from './s3-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

let server: ObjectServer;
let endpoint: URL;
let folder: string;
let nowMs: number;
const dispatcher = createSourceDispatcher({ allowLoopback: true });
const clock = { ...systemClock, now: () => nowMs };
const deps = { dispatcher, clock, random: () => 0.5 };

beforeEach(async () => {
  server = new ObjectServer();
  endpoint = new URL(await server.listen());
  folder = mkdtempSync(join(tmpdir(), 'warmpool-credentials-'));
  nowMs = Date.now();
});
afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const provider = (source: S3CredentialSource): S3CredentialProvider => new S3CredentialProvider(deps, source);
const inHours = (hours: number): string => new Date(nowMs + hours * 3_600_000).toISOString();

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString();
  return body;
}

describe('credentials of a store', () => {
  test('of a web identity are those of the role, asked for once and again before they end', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'first-token\n');
    const seen: string[] = [];
    server.intercept = (request, response) => {
      void bodyOf(request).then((body) => {
        seen.push(new URLSearchParams(body).get('WebIdentityToken') ?? '');
        expect(new URLSearchParams(body).get('RoleArn')).toBe('arn:aws:iam::1:role/reader');
        response.end(
          `<R><Credentials><AccessKeyId>AK${seen.length}</AccessKeyId><SecretAccessKey>sk</SecretAccessKey>` +
            `<SessionToken>st</SessionToken><Expiration>${inHours(1)}</Expiration></Credentials></R>`,
        );
      });
      return true;
    };
    const role = { roleArn: 'arn:aws:iam::1:role/reader', sessionName: 'node', tokenFile, stsEndpoint: endpoint };
    const credentials = provider({ kind: 'web-identity', ...role });
    const both = await Promise.all([credentials.get(), credentials.get()]);
    expect(both[0]).toEqual({ accessKeyId: 'AK1', secretAccessKey: 'sk', sessionToken: 'st' });
    expect(seen).toEqual(['first-token']);
    writeFileSync(tokenFile, 'second-token');
    nowMs += 56 * 60_000;
    expect((await credentials.get())?.accessKeyId).toBe('AK2');
    expect(seen).toEqual(['first-token', 'second-token']);
  });

  test('of an instance come through a token, and outlive a metadata service that fails for a while', async () => {
    let isDown = false;
    server.intercept = (request, response) => {
      const { method, url, headers } = request;
      if (isDown) response.writeHead(500).end();
      else if (method === 'PUT' && url === '/latest/api/token') response.end('t0ken');
      else if (headers['x-aws-ec2-metadata-token'] !== 't0ken') response.writeHead(401).end();
      else if (url?.endsWith('/security-credentials/') === true) response.end('node-role');
      else if (url?.endsWith('/node-role') === true) {
        response.end(JSON.stringify({ AccessKeyId: 'AK', SecretAccessKey: 'sk', Token: 'st', Expiration: inHours(1) }));
      } else response.writeHead(404).end();
      return true;
    };
    const credentials = provider({ kind: 'instance', endpoint });
    expect(await credentials.get()).toMatchObject({ accessKeyId: 'AK', sessionToken: 'st' });
    isDown = true;
    nowMs += 57 * 60_000;
    expect(await credentials.get()).toMatchObject({ accessKeyId: 'AK' });
    nowMs += 10 * 60_000;
    await expect(credentials.get()).rejects.toMatchObject({
      code: 'StoreRefused',
      message: expect.stringContaining('no instance credentials can be had') as string,
    });
  });

  test('of a container are asked for with its token, and an answer that is none is not repeated', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'pod-token');
    const url = new URL('/v1/credentials', endpoint);
    server.intercept = (request, response) => {
      expect(request.headers.authorization).toBe('pod-token');
      response.end(JSON.stringify({ AccessKeyId: 'AK', SecretAccessKey: 'half-a-secret' }));
      return true;
    };
    const error = await provider({ kind: 'container', url, tokenFile })
      .get()
      .catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: 'StoreRefused' });
    expect((error as Error).message).not.toContain('half-a-secret');
  });

  test('sign requests in path style and in virtual-host style, and none goes unsigned', async () => {
    const options = { region: 'eu', endpoint: new URL('https://s3.example:8443/base') };
    const credentials = { kind: 'static' as const, credentials: { accessKeyId: 'AK', secretAccessKey: 'sk' } };
    const path = new S3Store(deps, 'code', { ...options, addressing: 'path', credentials });
    const virtual = new S3Store(deps, 'code', { ...options, addressing: 'virtual', credentials: { kind: 'none' } });
    const signed = await path.target('a/b+c.tar');
    expect(signed.url.href).toBe('https://s3.example:8443/base/code/a/b%2Bc.tar');
    expect(signed.headers['authorization']).toMatch(/^AWS4-HMAC-SHA256 Credential=AK\//);
    const unsigned = await virtual.target('a/b+c.tar');
    expect(unsigned.url.href).toBe('https://code.s3.example:8443/base/a/b%2Bc.tar');
    expect(unsigned.headers).toEqual({});
  });
});
