import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SecretReference } from '../errors.ts';
import { FakeApiserver } from '../testing/fake-apiserver.ts';
import { Apiserver } from './apiserver.ts';
import { KubeSecretReader, NoSecretReader, SECRET_LIFE_MS } from './secret-reader.ts';

const { signal } = new AbortController();
const secret: SecretReference = { namespace: 'team-a', secretName: 'code' };
const CANARY = 'canary-of-a-secret';
const keys = { accessKeyId: 'id', secretAccessKey: CANARY };
let folder: string;
let kube: FakeApiserver;
let apiserver: Apiserver;
let reader: KubeSecretReader;
let nowMs: number;
const slept: number[] = [];
const outcomes: string[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'warmpool-secrets-'));
  kube = await FakeApiserver.start(folder);
  kube.secrets.set('team-a/code', keys);
  nowMs = 1_000_000;
  slept.length = 0;
  const clock = {
    now: () => nowMs,
    monotonic: () => nowMs,
    sleep: (delayMs: number) => Promise.resolve(void slept.push(delayMs)),
  };
  const options = { url: new URL(kube.url), serviceAccountDir: kube.serviceAccountDir };
  apiserver = new Apiserver({ clock, random: () => 0.5 }, options);
  outcomes.length = 0;
  reader = new KubeSecretReader({ apiserver, clock, onRead: (outcome) => outcomes.push(outcome) });
});
afterEach(async () => {
  await apiserver.close();
  await kube.close();
  rmSync(folder, { recursive: true });
});

describe('a Secret', () => {
  test('is read by its name alone, once for all who ask within its time, and then again', async () => {
    const [first, second] = await Promise.all([reader.read(secret, signal), reader.read(secret, signal)]);
    expect(first?.s3()).toEqual(keys);
    expect(second).toBe(first);
    nowMs += SECRET_LIFE_MS - 1;
    await reader.read(secret, signal);
    expect(kube.asked).toEqual([{ secret: 'team-a/code', token: 'token-1' }]);
    kube.secrets.set('team-a/code', { ...keys, accessKeyId: 'rotated' });
    nowMs += 1;
    expect((await reader.read(secret, signal)).s3().accessKeyId).toBe('rotated');
    expect(kube.asked).toHaveLength(2);
  });

  test('that a store has refused is read again at once, but not twice in a second', async () => {
    const used = await reader.read(secret, signal);
    // as it was: the very same
    expect(await reader.readAgain(used, signal)).toBe(used);
    expect(await reader.readAgain(used, signal)).toBe(used);
    expect(kube.asked).toHaveLength(2);
    kube.secrets.set('team-a/code', { ...keys, accessKeyId: 'rotated' });
    nowMs += 1_000;
    const now = await reader.readAgain(used, signal);
    expect(now.s3().accessKeyId).toBe('rotated');
    expect(await reader.read(secret, signal)).toBe(now);
    // others who were refused with the old one
    expect(await reader.readAgain(used, signal)).toBe(now);
    expect(kube.asked).toHaveLength(3);
  });

  test('that is not there, or that no Role names, is an error with its name; it is looked for again a second later', async () => {
    kube.secrets.clear();
    const missing = { code: 'CredentialsMissing', status: 502 };
    const words = 'Secret code in namespace team-a does not exist';
    await expect(reader.read(secret, signal)).rejects.toMatchObject({ ...missing, message: words });
    await expect(reader.read(secret, signal)).rejects.toMatchObject(missing);
    expect(kube.asked).toHaveLength(1);
    kube.secrets.set('team-a/code', keys);
    kube.forbidden.add('team-a/code');
    nowMs += 1_000;
    await expect(reader.read(secret, signal)).rejects.toMatchObject({
      ...missing,
      message: expect.stringMatching(/^Secret code in namespace team-a may not be read .* Role/) as string,
    });
    kube.forbidden.clear();
    nowMs += 1_000;
    expect((await reader.read(secret, signal)).s3()).toEqual(keys);
    expect(outcomes).toEqual(['missing', 'missing', 'read']);
  });

  test('is asked for three times while the apiserver is in trouble, then it is CredentialsUnavailable', async () => {
    kube.faults.push(500, 429);
    expect((await reader.read(secret, signal)).s3()).toEqual(keys);
    expect(slept).toHaveLength(2);
    nowMs += SECRET_LIFE_MS;
    kube.faults.push(503, 503, 503);
    await expect(reader.read(secret, signal)).rejects.toMatchObject({ code: 'CredentialsUnavailable', status: 503 });
    await kube.close();
    nowMs += 1_000;
    await expect(reader.read(secret, signal)).rejects.toMatchObject({
      code: 'CredentialsUnavailable',
      message: expect.stringContaining('Secret code in namespace team-a could not be read') as string,
    });
  });

  test('is read with the token that is in the file now: after a minute, and at once when the old one is refused', async () => {
    await reader.read(secret, signal);
    kube.writeToken('token-2');
    kube.token = 'token-2';
    nowMs += SECRET_LIFE_MS;
    await reader.read(secret, signal);
    expect(kube.asked.map(({ token }) => token)).toEqual(['token-1', 'token-1', 'token-2']);
    kube.writeToken('token-3');
    nowMs += 60_000;
    await expect(reader.read(secret, signal)).rejects.toMatchObject({
      code: 'CredentialsUnavailable',
      message: expect.stringContaining('does not take the host-agent’s token') as string,
    });
    expect(kube.asked.at(-1)?.token).toBe('token-3');
  });

  test('is not waited for by somebody who has gone, and goes on for the others', async () => {
    const gone = new AbortController();
    const [reading, abandoned] = [reader.read(secret, signal), reader.read(secret, gone.signal)];
    gone.abort(new Error('gone'));
    await expect(abandoned).rejects.toThrow('gone');
    expect((await reading).s3()).toEqual(keys);
  });

  test('shows its values to nothing that prints, serialises or compares', async () => {
    kube.secrets.set('team-a/code', {
      url: 'https://host/',
      bearer: CANARY,
      secretAccessKey: CANARY,
      accessKeyId: 'a',
    });
    const credentials = await reader.read(secret, signal);
    const seen = [inspect(credentials, { depth: 9, showHidden: true }), JSON.stringify(credentials)];
    expect(seen.join('\n')).toContain('team-a');
    expect(seen.join('\n')).not.toContain(CANARY);
    expect(inspect(credentials.http(), { depth: 9, showHidden: true })).not.toContain(CANARY);
  });
});

test('without an apiserver every Secret is refused with what to do', async () => {
  await expect(new NoSecretReader().read(secret)).rejects.toMatchObject({
    code: 'CredentialsMissing',
    message: expect.stringContaining('--service-account-dir') as string,
  });
});
