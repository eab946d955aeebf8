import { describe, expect, it } from 'vitest';
import { claimRequestSchema, listClaimsQuerySchema, releaseQuerySchema, type ClaimRequestInput } from './claim-api.ts';
import { fieldProblems } from './errors.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

function aClaim(): ClaimRequestInput {
  return {
    claimId: 'order-42',
    function: { name: 'shop/checkout', version: '1.4.0+build.7', tenant: 'acme' },
    code: { url: 's3://functions/checkout.tar.zst', digest: DIGEST, format: 'tar.zst' },
    handler: 'src/index.handler',
  };
}

type Change = (claim: Record<string, unknown>) => unknown;
const at =
  (path: string, value: unknown): Change =>
  (claim) => {
    const names = path.split('.');
    const last = names.pop() ?? '';
    const target = names.reduce<Record<string, unknown>>(
      (node, name) => (node[name] ??= {}) as Record<string, unknown>,
      claim,
    );
    if (value === undefined) delete target[last];
    else target[last] = value;
    return claim;
  };

function problemsOf(change: Change): string[] {
  const { error } = claimRequestSchema.safeParse(change({ ...structuredClone(aClaim()) }));
  return error ? fieldProblems(error).map(({ field, message }) => `${field}: ${message}`) : [];
}

describe('a claim request', () => {
  it('needs an id, a function, code and a handler; the rest has defaults', () => {
    expect(claimRequestSchema.parse(aClaim())).toMatchObject({
      kind: 'handler',
      env: {},
      service: {},
      limits: { requestTimeoutMs: 30_000, initTimeoutMs: 10_000 },
      deadlineMs: 30_000,
    });
    expect(problemsOf(() => ({}))).toEqual([
      'claimId: is required',
      'function: is required',
      'code: is required',
      'handler: is required',
    ]);
  });

  it.each([
    ['claimId', undefined, 'claimId: is required'],
    ['claimId', 7, 'claimId: must be a string, not a number'],
    ['claimId', 'Order_42', 'claimId: must be 1 to 63 lower-case letters, digits or "-"'],
    ['claimId', 'a'.repeat(64), 'claimId: must be 1 to 63 lower-case letters'],
    ['function', 'checkout', 'function: must be an object, not a string'],
    ['function.name', undefined, 'function.name: is required'],
    ['function.name', '', 'function.name: must not be empty'],
    ['function.name', '../etc', 'function.name: must start with a letter or digit'],
    ['function.name', 'f'.repeat(254), 'function.name: must be at most 253 characters long'],
    ['function.version', undefined, 'function.version: is required'],
    ['function.version', '1 2', 'function.version: must start with a letter or digit'],
    ['function.version', 'v'.repeat(129), 'function.version: must be at most 128 characters long'],
    ['function.tenant', undefined, 'function.tenant: is required'],
    ['function.tenant', 'ACME', 'function.tenant: must be 1 to 63 lower-case letters'],
    ['function.owner', 'me', 'function.owner: is not a known field'],
    ['code', [], 'code: must be an object, not a list'],
    [
      'code.url',
      'ftp://host/x',
      'code.url: must be an s3://bucket/key, http(s)://, oci://registry/repository or file:// URL',
    ],
    ['code.url', 5, 'code.url: must be a string, not a number'],
    ['code.url', `https://host/${'x'.repeat(2048)}`, 'code.url: must be at most 2048 characters long'],
    ['code.url', 'http://:bad', 'code.url: must be a valid URL'],
    ['code.url', undefined, 'code.url: exactly one of url and key must be given'],
    ['code.key', 'checkout.tar', 'code.url: exactly one of url and key must be given'],
    ['code.key', '../secret', 'code.key: must be an object key without empty, "." or ".." segments'],
    ['code.key', 'a b', 'code.key: must not contain white space'],
    ['code.digest', undefined, 'code.digest: is required'],
    ['code.digest', 'ab'.repeat(32), 'code.digest: must be "sha256:" followed by 64 lower-case hex digits'],
    ['code.digest', `sha256:${'AB'.repeat(32)}`, 'code.digest: must be "sha256:"'],
    ['code.format', undefined, 'code.format: is required'],
    ['code.format', 'rar', 'code.format: must be one of "tar", "tar.gz", "tar.zst", "zip", "file"'],
    ['code.format', 'file', 'code.fileName: must be given for format "file", and only then'],
    ['code.fileName', 'index.js', 'code.fileName: must be given for format "file", and only then'],
    ['code.fileName', 'a/b.js', 'code.fileName: must be a plain file name'],
    ['code.sha', 'x', 'code.sha: is not a known field'],
    ['kind', 'worker', 'kind: must be one of "handler", "http"'],
    ['handler', undefined, 'handler: is required'],
    ['handler', '', 'handler: must not be empty'],
    ['handler', '/etc/passwd', 'handler: must be a relative path inside the code'],
    ['handler', 'src/../../x.run', 'handler: must not contain ".."'],
    ['handler', 'h'.repeat(257), 'handler: must be at most 256 characters long'],
    ['env', ['A=1'], 'env: must be an object, not a list'],
    ['env.1ST', 'x', 'env.1ST: this name must be a name of letters, digits and "_"'],
    ['env.PORT', 8080, 'env.PORT: must be a string, not a number'],
    ['env.A', 'x\0y', 'env.A: must not contain a NUL character'],
    ['env.A', 'x'.repeat(32_769), 'env.A: must be at most 32768 characters long'],
    ['service', 'x', 'service: must be an object, not a string'],
    ['service.-x', 'y', 'service.-x: this name must be 1 to 128 letters'],
    ['service.a', 'y'.repeat(1025), 'service.a: must be at most 1024 characters long'],
    ['limits.requestTimeoutMs', 0, 'limits.requestTimeoutMs: must be at least 1'],
    ['limits.requestTimeoutMs', 900_001, 'limits.requestTimeoutMs: must be at most 900000'],
    ['limits.initTimeoutMs', 1.5, 'limits.initTimeoutMs: must be a whole number'],
    ['limits.memoryMiB', 1, 'limits.memoryMiB: is not a known field'],
    ['deadlineMs', 0, 'deadlineMs: must be at least 1'],
    ['deadlineMs', '30s', 'deadlineMs: must be a number, not a string'],
    ['deadlineMs', 600_001, 'deadlineMs: must be at most 600000'],
    ['ttlSeconds', -1, 'ttlSeconds: must be at least 0'],
    ['ttlSeconds', 604_801, 'ttlSeconds: must be at most 604800'],
    ['idleTimeoutSeconds', null, 'idleTimeoutSeconds: must be a number, not null'],
    ['idleTimeoutSeconds', -1, 'idleTimeoutSeconds: must be at least 0'],
    ['environment', {}, 'environment: is not a known field'],
  ])('with %s = %j is refused in words', (path, value, expected) => {
    expect(problemsOf(at(path, value))).toContainEqual(expect.stringContaining(expected));
  });

  it.each([
    ['claimId', 'a'],
    ['code.url', 'file:///srv/code/a.tar'],
    ['function.version', '2026-11-21_a'],
    ['handler', '@scope/pkg/index.handler'],
    ['env', { _A1: '', LONG: 'x'.repeat(32_768) }],
    ['service', { 'team/owner': 'payments' }],
    ['ttlSeconds', 0],
  ])('with %s = %j is taken', (path, value) => {
    expect(problemsOf(at(path, value))).toEqual([]);
  });

  it('takes an object of the default store, and a single file with its name', () => {
    expect(problemsOf(at('code', { key: 'a/b.zip', digest: DIGEST, format: 'zip' }))).toEqual([]);
    const file = { key: 'a.js', digest: DIGEST, format: 'file', fileName: 'index.js' };
    expect(problemsOf(at('code', file))).toEqual([]);
  });

  it('bounds the environment as a whole', () => {
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [`V${n}`, '']));
    expect(problemsOf(at('env', many))).toEqual(['env: must not hold more than 1000 variables']);
    const large = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`V${n}`, 'x'.repeat(32_000)]));
    expect(problemsOf(at('env', large))).toEqual(['env: must not be larger than 262144 characters in all']);
  });
});

describe('queries', () => {
  it('refuse what they do not know, and numbers out of range', () => {
    expect(listClaimsQuerySchema.parse({ limit: '20', watch: 'true' })).toMatchObject({ limit: 20, watch: 'true' });
    expect(listClaimsQuerySchema.safeParse({ limit: '0' }).success).toBe(false);
    expect(listClaimsQuerySchema.safeParse({ page: '2' }).success).toBe(false);
  });

  it.each(['30s', '5m', '99999s'])('keep an instance warm for %s', (keepWarm) => {
    expect(releaseQuerySchema.safeParse({ keepWarm }).success).toBe(true);
  });

  it.each(['30', '0s', '1h', '-5s', '1.5m'])('do not take %s for a time to keep warm', (keepWarm) => {
    const { error } = releaseQuerySchema.safeParse({ keepWarm });
    expect(error && fieldProblems(error)).toEqual([
      { field: 'keepWarm', message: 'must be a number of seconds or minutes, for example "30s" or "5m"' },
    ]);
  });
});
