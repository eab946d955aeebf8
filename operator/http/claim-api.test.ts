import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import type { Claim, ClaimRequest } from '@warmpool/protocol/claim-api.ts';
import { errorBodySchema, type ErrorBody } from '@warmpool/protocol/errors.ts';
import type { ClaimQueries } from '../claims/claim-queries.ts';
import type { ClaimService } from '../claims/claim-service.ts';
import { claimError } from '../errors.ts';
import type { PrefetchService } from '../prefetch/prefetch-service.ts';
import { createClaimApi } from './claim-api.ts';

const CLAIMS = '/v1/pools/default/nodejs/claims';
const DIGEST = `sha256:${'ab'.repeat(32)}`;
const TIMINGS = { queueMs: 0.25, pickMs: 0.01, writeMs: 2, fetchMs: 0, unpackMs: 0, mountMs: 0.1, loadMs: 3 };

function aClaimBody(): Record<string, unknown> {
  return {
    claimId: 'order-42',
    function: { name: 'checkout', version: '1', tenant: 'acme' },
    code: { key: 'functions/checkout.tar', digest: DIGEST, format: 'tar' },
    handler: 'index.handler',
  };
}

function aClaim(claimId = 'order-42', change: Partial<Claim> = {}): Claim {
  return {
    claimId,
    namespace: 'default',
    pool: 'nodejs',
    state: 'ready',
    function: { name: 'checkout', version: '1', tenant: 'acme' },
    createdAt: '2026-01-01T00:00:00.000Z',
    ...change,
  };
}

/** What is behind the API: answers well unless a test says otherwise. */
class Behind {
  readonly claimed: ClaimRequest[] = [];
  readonly released: { claimId: string; keepWarmMs: number | undefined }[] = [];
  readonly listed: unknown[][] = [];
  readonly watchers = new Set<(claim: Claim) => void>();
  isDraining = false;
  claim = (_namespace: string, _pool: string, body: ClaimRequest, _signal: AbortSignal): Promise<Claim> => {
    this.claimed.push(body);
    return Promise.resolve(aClaim(body.claimId, { timings: { ...TIMINGS, importMs: 1, totalMs: 6 } }));
  };
  release = (_namespace: string, claimId: string, keepWarmMs?: number): Promise<Claim> => {
    this.released.push({ claimId, keepWarmMs });
    return Promise.resolve(aClaim(claimId, { state: 'released' }));
  };
  get = (_namespace: string, claimId: string): Claim => aClaim(claimId);
  list = (...args: unknown[]): { items: Claim[]; continue?: string } => {
    this.listed.push(args);
    return { items: [aClaim('order-1')], continue: 'order-1' };
  };
  watch = (_namespace: string, _pool: string, listener: (claim: Claim) => void): (() => void) => {
    listener(aClaim('order-1'));
    this.watchers.add(listener);
    return () => this.watchers.delete(listener);
  };
  pools = (): unknown[] => [];
  logs = (): Promise<unknown> => Promise.resolve({ lines: [], truncated: false });
  kill = (): Promise<{ podUid: string; statusCode: number; state: string; message?: string }> =>
    Promise.resolve({ podUid: 'pod-1', statusCode: 202, state: 'running' });
}

let behind: Behind;
let app: FastifyInstance;
let logged: string[];
beforeEach(() => {
  behind = new Behind();
  logged = [];
  app = createClaimApi({
    claims: behind as unknown as ClaimService,
    queries: behind as unknown as ClaimQueries,
    prefetches: {} as PrefetchService,
    log: pino({ level: 'error' }, { write: (line: string) => void logged.push(line) }),
    isDraining: () => behind.isDraining,
  });
});
afterEach(() => app.close());

/** Sends what a client might send, and holds every refusal to the one envelope. */
async function refusal(
  method: 'GET' | 'POST' | 'DELETE' | 'PUT' | 'PATCH',
  url: string,
  payload?: string | object,
  headers: Record<string, string> = {},
): Promise<ErrorBody & { headers: Record<string, unknown> }> {
  const type = payload === undefined ? {} : { 'content-type': 'application/json' };
  const reply = await app.inject({
    method,
    url,
    headers: { ...type, ...headers },
    ...(payload !== undefined && { payload }),
  });
  const body = errorBodySchema.parse(reply.json());
  expect(body.statusCode).toBe(reply.statusCode);
  expect(body.message.length).toBeGreaterThan(10);
  return { ...body, headers: reply.headers };
}

function changed(field: string, value: unknown): Record<string, unknown> {
  const body = aClaimBody();
  const names = field.split('.');
  const last = names.pop() ?? '';
  const target = names.reduce((node, name) => (node[name] ??= {}) as Record<string, unknown>, body);
  if (value === undefined) delete target[last];
  else target[last] = value;
  return body;
}

describe('a claim whose field is wrong is refused with 400 and the name of the field', () => {
  const text = (length: number): string => 'a'.repeat(length);
  it.each<[string, unknown, RegExp, string?]>([
    ['claimId', undefined, /^is required$/],
    ['claimId', 7, /^must be a string, not a number$/],
    ['claimId', null, /^must be a string, not null$/],
    ['claimId', '', /^must be 1 to 63 lower-case letters/],
    ['claimId', 'Order_42', /^must be 1 to 63 lower-case letters/],
    ['claimId', text(64), /^must be 1 to 63 lower-case letters/],
    ['function', undefined, /^is required$/],
    ['function', 'checkout', /^must be an object, not a string$/],
    ['function.name', undefined, /^is required$/],
    ['function.name', '', /^must not be empty$/],
    ['function.name', '../up', /^must start with a letter or digit/],
    ['function.name', text(254), /^must be at most 253 characters long$/],
    ['function.name', ['x'], /^must be a string, not a list$/],
    ['function.version', undefined, /^is required$/],
    ['function.version', 1, /^must be a string, not a number$/],
    ['function.version', 'v 1', /^must start with a letter or digit/],
    ['function.version', text(129), /^must be at most 128 characters long$/],
    ['function.tenant', undefined, /^is required$/],
    ['function.tenant', 'ACME', /^must be 1 to 63 lower-case letters/],
    ['function.tenant', text(64), /^must be 1 to 63 lower-case letters/],
    ['function.owner', 'me', /^is not a known field$/],
    ['code', undefined, /^is required$/],
    ['code', [], /^must be an object, not a list$/],
    ['code.key', undefined, /^exactly one of url and key must be given$/, 'code.url'],
    ['code.url', 's3://bucket/key', /^exactly one of url and key must be given$/],
    [
      'code.url',
      'ftp://host/key',
      /^must be an s3:\/\/bucket\/key, http\(s\):\/\/, oci:\/\/registry\/repository or file:\/\/ URL$/,
    ],
    ['code.url', `https://host/${text(2048)}`, /^must be at most 2048 characters long$/],
    ['code.url', 5, /^must be a string, not a number$/],
    ['code.key', '../secret', /^must be an object key without empty, "\." or "\.\." segments$/],
    ['code.key', 'a b', /^must not contain white space$/],
    ['code.key', '', /^must not be empty$/],
    ['code.key', text(1025), /^must be at most 1024 characters long$/],
    ['code.digest', undefined, /^is required$/],
    ['code.digest', 'ab'.repeat(32), /^must be "sha256:" followed by 64 lower-case hex digits$/],
    ['code.digest', DIGEST.toUpperCase(), /^must be "sha256:" followed by 64 lower-case hex digits$/],
    ['code.format', undefined, /^is required$/],
    ['code.format', 'rar', /tar\.zst/],
    ['code.fileName', 'index.js', /^must be given for format "file", and only then$/],
    ['code.fileName', '../index.js', /^must be a plain file name$/],
    ['code.mirror', 'x', /^is not a known field$/],
    ['kind', 'cron', /handler.*http/],
    ['kind', 1, /handler.*http/],
    ['handler', undefined, /^is required$/],
    ['handler', '', /^must not be empty$/],
    ['handler', '/etc/passwd', /^must be a relative path inside the code/],
    ['handler', 'a/../../b.c', /^must not contain "\.\."$/],
    ['handler', text(257), /^must be at most 256 characters long$/],
    ['env', 'A=1', /^must be an object, not a string$/],
    ['env', [], /^must be an object, not a list$/],
    ['env', null, /^must be an object, not null$/],
    ['env.1A', 'x', /^this name must be a name of letters, digits and "_"/],
    ['env.A', 1, /^must be a string, not a number$/],
    ['env.A', 'a\0b', /^must not contain a NUL character$/],
    ['env.A', text(32 * 1024 + 1), /^must be at most 32768 characters long$/],
    ['env', manyOf(1001), /^must not hold more than 1000 variables$/],
    ['env', manyOf(20, text(32_000)), /^must not be larger than 262144 characters in all$/],
    ['service', 'x', /^must be an object, not a string$/],
    ['service.a b', 'x', /^this name must be 1 to 128 letters/],
    ['service.a', text(1025), /^must be at most 1024 characters long$/],
    ['service', manyOf(65), /^must not hold more than 64 entries$/],
    ['limits', 1, /^must be an object, not a number$/],
    ['limits.requestTimeoutMs', 0, /^must be at least 1$/],
    ['limits.requestTimeoutMs', 900_001, /^must be at most 900000$/],
    ['limits.requestTimeoutMs', '1000', /^must be a number, not a string$/],
    ['limits.initTimeoutMs', 1.5, /^must be a whole number$/],
    ['limits.initTimeoutMs', 300_001, /^must be at most 300000$/],
    ['limits.memory', 1, /^is not a known field$/],
    ['deadlineMs', 0, /^must be at least 1$/],
    ['deadlineMs', 600_001, /^must be at most 600000$/],
    ['deadlineMs', 'soon', /^must be a number, not a string$/],
    ['ttlSeconds', -1, /^must be at least 0$/],
    ['ttlSeconds', 604_801, /^must be at most 604800$/],
    ['ttlSeconds', null, /^must be a number, not null$/],
    ['idleTimeoutSeconds', -1, /^must be at least 0$/],
    ['idleTimeoutSeconds', true, /^must be a number, not true or false$/],
    ['priority', 1, /^is not a known field$/],
  ])('%s: %j', async (field, value, message, named = field) => {
    const { statusCode, code, error, details, message: words } = await refusal('POST', CLAIMS, changed(field, value));
    expect({ statusCode, code, error }).toEqual({ statusCode: 400, code: 'InvalidRequest', error: 'Bad Request' });
    const problem = details?.find((each) => each.field === named && message.test(each.message));
    expect(problem, JSON.stringify(details)).toBeDefined();
    expect(words).toContain(`${named}: `);
    expect(behind.claimed).toEqual([]);
  });

  function manyOf(count: number, value = 'x'): Record<string, string> {
    return Object.fromEntries(Array.from({ length: count }, (_, i) => [`NAME_${i}`, value]));
  }

  it('names every wrong field at once', async () => {
    const { details } = await refusal('POST', CLAIMS, {});
    expect(details?.map(({ field }) => field)).toEqual(['claimId', 'function', 'code', 'handler']);
  });

  it('never repeats a value of the env, which may be a secret', async () => {
    const body = changed('env', { TOKEN: `canary-${'x'.repeat(40_000)}`, '1BAD': 'canary' });
    expect(JSON.stringify(await refusal('POST', CLAIMS, body))).not.toContain('canary');
  });
});

describe('a body that is no claim at all', () => {
  it.each([
    ['nothing', ''],
    ['broken JSON', '{"claimId": '],
    ['text', 'claim please'],
    ['two documents', '{} {}'],
    ['a bare NUL', '\0'],
  ])('is 400 InvalidJson: %s', async (_what, payload) => {
    expect(await refusal('POST', CLAIMS, payload)).toMatchObject({ statusCode: 400, code: 'InvalidJson' });
  });

  it.each([
    ['an array', '[]'],
    ['a string', '"claim"'],
    ['a number', '7'],
    ['null', 'null'],
    ['deep nesting', `${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['an object nested deeply in a field', `{"claimId":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`],
  ])('is 400 InvalidRequest with words about the body or field: %s', async (_what, payload) => {
    const { statusCode, code, details } = await refusal('POST', CLAIMS, payload);
    expect({ statusCode, code }).toEqual({ statusCode: 400, code: 'InvalidRequest' });
    expect(details?.[0]).toMatchObject({ message: expect.stringMatching(/^must be/) as string });
  });

  it.each([
    ['__proto__ at the top', '{"__proto__": {"isAdmin": true}}'],
    ['__proto__ in the env', JSON.stringify(aClaimBody()).replace(/}$/, ',"env":{"__proto__":"x"}}')],
    ['constructor.prototype', '{"constructor": {"prototype": {"isAdmin": true}}}'],
  ])('cannot reach prototypes: %s', async (_what, payload) => {
    expect(await refusal('POST', CLAIMS, payload)).toMatchObject({ statusCode: 400 });
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined();
    expect(behind.claimed).toEqual([]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'nonsense'])(
    'is 415 when it is sent as %s',
    async (type) => {
      const refused = await refusal('POST', CLAIMS, JSON.stringify(aClaimBody()), { 'content-type': type });
      expect(refused).toMatchObject({
        statusCode: 415,
        code: 'UnsupportedMediaType',
        message: expect.stringContaining('application/json') as string,
      });
    },
  );

  it('is 413 when it is larger than a claim can be', async () => {
    const body = { ...aClaimBody(), padding: 'x'.repeat(1024 * 1024) };
    expect(await refusal('POST', CLAIMS, body)).toMatchObject({ statusCode: 413, code: 'BodyTooLarge' });
  });
});

describe('an address that is wrong', () => {
  it.each([
    ['GET', '/'],
    ['GET', '/v1/nothing'],
    ['GET', '/v2/pools'],
    ['POST', '/v1/pools/default/claims'],
    ['PUT', CLAIMS],
    ['DELETE', '/v1/pools'],
    ['PATCH', '/v1/claims/default/order-42'],
  ] as const)('is 404 and named: %s %s', async (method, url) => {
    expect(await refusal(method, url)).toMatchObject({
      statusCode: 404,
      code: 'NotFound',
      message: `there is nothing at ${method} ${url}`,
    });
  });

  it('leaves the query out of what it repeats: it may hold a token', async () => {
    expect((await refusal('GET', '/v1/nothing?token=canary')).message).not.toContain('canary');
  });

  it.each([
    ['POST', '/v1/pools/Default/nodejs/claims', 'namespace'],
    ['POST', '/v1/pools/default/node_js/claims', 'pool'],
    ['GET', `/v1/pools/default/${'a'.repeat(64)}/claims`, 'pool'],
    ['GET', '/v1/claims/de%20fault/order-42', 'namespace'],
    ['GET', '/v1/claims/default/Order', 'claimId'],
    ['DELETE', '/v1/claims/default/..%2f..%2fetc', 'claimId'],
    ['GET', '/v1/claims/default/order-/logs', 'claimId'],
  ] as const)('with a bad name in it is 400 with the name of the part: %s %s', async (method, url, field) => {
    const refused = await refusal(method, url, method === 'POST' ? aClaimBody() : undefined);
    expect(refused).toMatchObject({ statusCode: 400, code: 'InvalidRequest' });
    expect(refused.details).toEqual([{ field, message: expect.stringMatching(/^must be 1 to 63/) as string }]);
  });

  it('with broken percent-encoding is 400', async () => {
    expect(await refusal('GET', '/v1/claims/default/%E0%A4%A')).toMatchObject({ statusCode: 400 });
  });
});

describe('a query that is wrong is 400 with the name of its parameter', () => {
  const claim = '/v1/claims/default/order-42';
  it.each([
    ['GET', `${CLAIMS}?limit=0`, 'limit', /^must be at least 1$/],
    ['GET', `${CLAIMS}?limit=1001`, 'limit', /^must be at most 1000$/],
    ['GET', `${CLAIMS}?limit=many`, 'limit', /^must be a number/],
    ['GET', `${CLAIMS}?watch=yes`, 'watch', /^must be one of "true", "false"$/],
    ['GET', `${CLAIMS}?continue=${'a'.repeat(257)}`, 'continue', /^must be at most 256 characters long$/],
    ['GET', `${CLAIMS}?sort=name`, 'sort', /^is not a known field$/],
    ['DELETE', `${claim}?keepWarm=forever`, 'keepWarm', /^must be a number of seconds or minutes/],
    ['DELETE', `${claim}?keepWarm=0s`, 'keepWarm', /^must be a number of seconds or minutes/],
    ['DELETE', `${claim}?force=true`, 'force', /^is not a known field$/],
    ['GET', `${claim}/logs?limitBytes=0`, 'limitBytes', /^must be at least 1$/],
    ['GET', `${claim}/logs?limitBytes=1048577`, 'limitBytes', /^must be at most 1048576$/],
    ['GET', `${claim}/logs?requestId=a%20b`, 'requestId', /^must be 1 to 128 letters/],
    ['GET', `${claim}/logs?follow=true`, 'follow', /^is not a known field$/],
  ] as const)('%s %s', async (method, url, field, message) => {
    const refused = await refusal(method, url);
    expect(refused).toMatchObject({ statusCode: 400, code: 'InvalidRequest' });
    expect(refused.details).toEqual([{ field, message: expect.stringMatching(message) as string }]);
  });

  it.each([
    [{}, 'requestId'],
    [{ requestId: 'a b' }, 'requestId'],
    [{ requestId: 'a', mode: 'nicely' }, 'mode'],
    [{ requestId: 'a', graceMs: 60_001 }, 'graceMs'],
    [{ requestId: 'a', reason: 'x'.repeat(257) }, 'reason'],
    [{ requestId: 'a', signal: 9 }, 'signal'],
  ])('and so is the body of a kill: %j', async (body, field) => {
    const refused = await refusal('POST', `${claim}/kill`, body);
    expect(refused).toMatchObject({ statusCode: 400, code: 'InvalidRequest', details: [{ field }] });
  });
});

describe('a claim that succeeds', () => {
  it('is 201 with each phase in Server-Timing, in milliseconds', async () => {
    const reply = await app.inject({ method: 'POST', url: CLAIMS, payload: aClaimBody() });
    expect(reply.statusCode).toBe(201);
    expect(reply.headers['server-timing']).toBe(
      'queue;dur=0.250, pick;dur=0.010, write;dur=2.000, fetch;dur=0.000, unpack;dur=0.000, mount;dur=0.100, ' +
        'load;dur=3.000, import;dur=1.000, total;dur=6.000',
    );
    expect(behind.claimed[0]).toMatchObject({ claimId: 'order-42', env: {}, deadlineMs: 30_000 });
  });

  it('is shown, listed in pages, and released as often as one likes', async () => {
    expect((await app.inject('/v1/claims/default/order-42')).json()).toMatchObject({ claimId: 'order-42' });
    const page = await app.inject(`${CLAIMS}?limit=1&continue=order-0`);
    expect(page.json()).toMatchObject({ items: [{ claimId: 'order-1' }], continue: 'order-1' });
    expect(behind.listed).toEqual([['default', 'nodejs', 1, 'order-0']]);
    for (let i = 0; i < 2; i++) {
      const reply = await app.inject({ method: 'DELETE', url: '/v1/claims/default/order-42' });
      expect(reply.json()).toMatchObject({ claimId: 'order-42', state: 'released' });
    }
    await app.inject({ method: 'DELETE', url: '/v1/claims/default/order-42?keepWarm=2m' });
    expect(behind.released.map(({ keepWarmMs }) => keepWarmMs)).toEqual([0, 0, 120_000]);
  });
});

describe('a refusal', () => {
  it.each([
    [429, claimError('QueueFull', 'pool default/nodejs is empty', { retryAfterSeconds: 1.2 }), '2'],
    [503, claimError('NotLeader', 'another operator replica serves claims', { retryAfterSeconds: 1 }), '1'],
  ])('with status %i says when to come back', async (status, error, retryAfter) => {
    behind.claim = () => Promise.reject(error);
    const refused = await refusal('POST', CLAIMS, aClaimBody());
    expect(refused).toMatchObject({ statusCode: status, code: error.code, retryAfterSeconds: error.retryAfterSeconds });
    expect(refused.headers['retry-after']).toBe(retryAfter);
  });

  it('comes at once while the operator shuts down, with when to come back', async () => {
    behind.isDraining = true;
    const refused = await refusal('POST', CLAIMS, aClaimBody());
    expect(refused).toMatchObject({ statusCode: 503, code: 'Draining' });
    expect(refused.headers['retry-after']).toBe('1');
    expect(behind.claimed).toEqual([]);
  });

  it('of a kill passes on what the instance said', async () => {
    behind.kill = () =>
      Promise.resolve({ podUid: 'pod-1', statusCode: 404, state: 'unknown', message: 'no request r-1 is known here' });
    const refused = await refusal('POST', '/v1/claims/default/order-42/kill', { requestId: 'r-1' });
    expect(refused).toMatchObject({ statusCode: 404, message: 'no request r-1 is known here' });
  });

  it('for a reason nobody foresaw is 500 Internal, with the reason in the log only', async () => {
    behind.claim = () => Promise.reject(new TypeError('canary of a secret place'));
    const refused = await refusal('POST', CLAIMS, aClaimBody());
    expect(refused).toMatchObject({ statusCode: 500, code: 'Internal', error: 'Internal Server Error' });
    expect(JSON.stringify(refused)).not.toContain('canary');
    expect(logged.join('')).toContain('canary of a secret place');
  });
});

describe('on a real connection', () => {
  it('a client that hangs up aborts its claim', async () => {
    const { promise: gone, resolve: onGone } = Promise.withResolvers<void>();
    const { promise: begun, resolve: onBegun } = Promise.withResolvers<void>();
    behind.claim = (_namespace, _pool, _body, signal) =>
      new Promise((_resolve, reject) => {
        onBegun();
        signal.addEventListener('abort', () => {
          onGone();
          reject(claimError('ClaimAbandoned', 'the client went away'));
        });
      });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const client = httpRequest(`${url}${CLAIMS}`, { method: 'POST', headers: { 'content-type': 'application/json' } });
    client.on('error', () => undefined);
    client.end(JSON.stringify(aClaimBody()));
    await begun;
    client.destroy();
    await gone;
  });

  it('a watch brings what is there, a mark, then each change, and ends with its client', async () => {
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const client = httpRequest(`${url}${CLAIMS}?watch=true`).end();
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    expect(response.headers['content-type']).toBe('text/event-stream');
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('error', () => undefined);
    await vi.waitFor(() => expect(text).toContain('event: synced'), 3000);
    for (const tell of behind.watchers) tell(aClaim('order-2', { state: 'queued' }));
    await vi.waitFor(() => expect(text).toContain('order-2'), 3000);
    const events = text.trim().split('\n\n');
    expect(events.map((event) => /^event: (\w+)\ndata: \{/.exec(event)?.[1])).toEqual(['claim', 'synced', 'claim']);
    client.destroy();
    await vi.waitFor(() => expect(behind.watchers.size).toBe(0), 3000);
  });

  it('an open watch ends when the server closes, and does not keep it from closing', async () => {
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const client = httpRequest(`${url}${CLAIMS}?watch=true`).end();
    const [response] = (await once(client, 'response')) as [IncomingMessage];
    response.resume();
    const ended = once(response, 'end', { signal: AbortSignal.timeout(3000) });
    await Promise.all([app.close(), ended]);
  });

  it('a watch that is refused is told so as any other request', async () => {
    behind.watch = () => {
      throw claimError('NotLeader', 'another operator replica serves claims now; try again', { retryAfterSeconds: 1 });
    };
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const reply = await fetch(`${url}${CLAIMS}?watch=true`, { signal: AbortSignal.timeout(3000) });
    expect(reply.status).toBe(503);
    expect(errorBodySchema.parse(await reply.json())).toMatchObject({ code: 'NotLeader' });
  });
});
