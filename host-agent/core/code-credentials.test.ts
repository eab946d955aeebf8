import { describe, expect, test } from 'vitest';
import { CodeCredentials } from './code-credentials.ts';

const secret = { namespace: 'team-a', secretName: 'code' };
const CANARY = 'canary value';

function holding(data: Record<string, string>): CodeCredentials {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return new CodeCredentials(secret, Object.fromEntries(encoded) as Record<string, string>);
}

/** What it says, and that it says no value. */
function refusal(use: () => unknown): string {
  try {
    use();
  } catch (error) {
    expect(error).toMatchObject({ code: 'CredentialsMissing' });
    const { message } = error as Error;
    expect(message).toContain('Secret code in namespace team-a');
    expect(message).not.toContain(CANARY);
    return message;
  }
  throw new Error('it was taken');
}

describe('for S3', () => {
  test('has a key pair and perhaps a session; the line break at the end of a file is not part of it', () => {
    const keys = { accessKeyId: 'id\n', secretAccessKey: 'secret' };
    expect(holding(keys).s3()).toEqual({ accessKeyId: 'id', secretAccessKey: 'secret' });
    expect(holding({ ...keys, sessionToken: 't' }).s3()).toMatchObject({ sessionToken: 't' });
  });

  test.each([
    ['accessKeyId', {}],
    ['secretAccessKey', { accessKeyId: 'id' }],
    ['secretAccessKey', { accessKeyId: 'id', secretAccessKey: '' }],
    ['sessionToken', { accessKeyId: 'id', secretAccessKey: 's', sessionToken: CANARY }],
  ])('names the key %s that is missing or cannot be sent', (key, data) => {
    expect(refusal(() => holding(data).s3())).toContain(`key ${key}`);
  });
});

describe('for http(s) and registries', () => {
  test('tells a password to the address in the Secret and what is below it, and to nobody else', () => {
    const list = holding({ url: 'https://Host.example.com:443/team', username: 'me', password: 'p' }).http();
    const asked = (url: string): string | undefined => list.authorizationFor(new URL(url));
    expect(asked('https://host.example.com/team/x')).toBe(`Basic ${Buffer.from('me:p').toString('base64')}`);
    for (const other of [
      'https://host.example.com/team-b/x',
      'https://host.example.com/team/../x',
      'https://host.example.com.evil.example/team/x',
      'http://host.example.com/team/x',
      'https://host.example.com:8443/team/x',
    ]) {
      expect(asked(other)).toBeUndefined();
    }
  });

  test('has a bearer token, or registries as docker and kubectl write them', () => {
    expect(holding({ url: 'https://h/', bearer: 't\n' }).http().find('https://h/x')).toMatchObject({ bearer: 't' });
    const auth = Buffer.from('me:with:colon').toString('base64');
    const auths = {
      'https://r.example.com/v2/': { auth },
      'q.example.com:5000/team': { username: 'u', password: 'p' },
    };
    const list = holding({ '.dockerconfigjson': JSON.stringify({ auths }) }).http();
    expect(list.find('oci://r.example.com/a/b')).toMatchObject({ username: 'me', password: 'with:colon' });
    expect(list.find('oci://q.example.com:5000/team/b')).toMatchObject({ username: 'u', password: 'p' });
    expect(list.find('oci://q.example.com:5000/other')).toBeUndefined();
  });

  test.each([
    ['url', { url: 'ftp://host/', bearer: CANARY }],
    ['url', { url: 'https://user:pass@host/', bearer: CANARY }],
    ['username', { url: 'https://host/' }],
    ['password', { url: 'https://host/', username: CANARY }],
    ['bearer', { url: 'https://host/', bearer: `${CANARY}\r\nx: y` }],
    ['.dockerconfigjson', { '.dockerconfigjson': CANARY }],
  ])('names the key %s that is missing or wrong, and no value', (key, data) => {
    expect(refusal(() => holding(data).http())).toContain(`key ${key}`);
  });
});

test('is the same as another reading when all its keys are', () => {
  expect(holding({ a: '1', b: '2' }).isSameAs(holding({ b: '2', a: '1' }))).toBe(true);
  expect(holding({ a: '1' }).isSameAs(holding({ a: '2' }))).toBe(false);
  expect(holding({ a: '1' }).isSameAs(holding({ a: '1', b: '2' }))).toBe(false);
});
