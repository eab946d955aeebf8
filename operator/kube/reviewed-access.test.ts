import { beforeEach, describe, expect, test } from 'vitest';
import { KubeError, type Resource } from '../engine/kube-client.ts';
import { silentLog } from '../engine/log.ts';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import type { AccessRule } from '../http/claim-access.ts';
import { ReviewedAccess } from './reviewed-access.ts';

const CREATE: AccessRule = { verb: 'create', resource: 'warmpoolclaims' };
const ALICE = 'Bearer alice-token';

/** An apiserver that knows tokens and who may do what; both change as a test likes. */
class Reviewer {
  readonly tokens = new Map([['alice-token', { name: 'alice', audiences: ['warmpool.dev'] }]]);
  readonly allowed = new Set(['alice create warmpoolclaims team-a']);
  readonly asked: string[] = [];
  isAway = false;
  hold: Promise<void> | undefined;

  review = async (resource: Resource, body: object): Promise<object> => {
    this.asked.push(resource.plural);
    await this.hold;
    if (this.isAway) throw new KubeError(0, 'Timeout', 'no answer after 3000 ms');
    const { spec } = body as {
      spec: {
        token: string;
        user: string;
        resourceAttributes: { verb: string; resource: string; subresource?: string; namespace: string };
      };
    };
    if (resource.plural === 'tokenreviews') {
      const known = this.tokens.get(spec.token);
      return known === undefined
        ? { status: { authenticated: false } }
        : { status: { authenticated: true, user: { username: known.name }, audiences: known.audiences } };
    }
    const { verb, resource: what, subresource, namespace } = spec.resourceAttributes;
    const path = subresource === undefined ? what : `${what}/${subresource}`;
    return { status: { allowed: this.allowed.has(`${spec.user} ${verb} ${path} ${namespace}`), reason: 'RBAC' } };
  };
}

let clock: VirtualClock;
let server: Reviewer;
let access: ReviewedAccess;

beforeEach(() => {
  clock = new VirtualClock();
  server = new Reviewer();
  const options = { audiences: ['warmpool.dev'], allowTtlMs: 10_000, denyTtlMs: 2_000 };
  access = new ReviewedAccess({ clock, log: silentLog, review: server.review }, options);
});

const check = async (authorization: string | undefined = ALICE, namespace = 'team-a', rule = CREATE): Promise<void> =>
  access.check(authorization, rule, namespace);

test('a caller with the right is let in, and from then on without a promise', async () => {
  await check();
  expect(access.check(ALICE, CREATE, 'team-a')).toBeUndefined();
  expect(server.asked).toEqual(['tokenreviews', 'subjectaccessreviews']);
});

describe('a caller is refused', () => {
  test.each<[string, string | undefined, object]>([
    ['without a token', undefined, { code: 'Unauthenticated', statusCode: 401 }],
    ['with another scheme', 'Basic YTpi', { code: 'Unauthenticated', message: /Bearer/ }],
    ['with an empty token', 'Bearer ', { code: 'Unauthenticated' }],
    ['with a token nobody knows', 'Bearer nobody', { code: 'Unauthenticated', message: /audience warmpool.dev/ }],
  ])('%s', async (_what, authorization, expected) => {
    const { message, ...rest } = expected as { message?: RegExp };
    await expect(async () => access.check(authorization, CREATE, 'team-a')).rejects.toMatchObject(rest);
    if (message !== undefined) await expect(async () => check(authorization)).rejects.toThrow(message);
  });

  test('with a token for somebody else, whatever the server says of it', async () => {
    server.tokens.set('for-the-apiserver', { name: 'alice', audiences: ['https://kubernetes.default.svc'] });
    await expect(check('Bearer for-the-apiserver')).rejects.toMatchObject({ code: 'Unauthenticated' });
  });

  test.each([
    ['in another namespace', 'team-b', CREATE],
    ['for another verb', 'team-a', { verb: 'delete', resource: 'warmpoolclaims' } as const],
    ['for a subresource', 'team-a', { verb: 'create', resource: 'warmpoolclaims', subresource: 'kill' } as const],
  ])('%s, in words that name who, what and where', async (_what, namespace, rule) => {
    await expect(check(ALICE, namespace, rule)).rejects.toMatchObject({ code: 'Forbidden', statusCode: 403 });
    await expect(check(ALICE, namespace, rule)).rejects.toThrow(
      new RegExp(`^alice may not ${rule.verb} warmpoolclaims.* in namespace ${namespace}.*warmpool-claimer`),
    );
  });

  test('for a namespace that cannot exist, without asking anybody', async () => {
    await expect(check(ALICE, 'Team A')).rejects.toMatchObject({ statusCode: 400 });
    expect(server.asked).toEqual([]);
  });
});

test('callers that come together ask once', async () => {
  await Promise.all(Array.from({ length: 50 }, () => check()));
  expect(server.asked).toHaveLength(2);
});

test('an apiserver that cannot be asked is 503 with Retry-After, and asked again by the next', async () => {
  server.isAway = true;
  await expect(check()).rejects.toMatchObject({ code: 'AccessUnknown', statusCode: 503, retryAfterSeconds: 1 });
  server.isAway = false;
  await check();
});

describe('what is known', () => {
  beforeEach(() => check());

  test('holds while the apiserver is away, and no longer than its time', async () => {
    server.isAway = true;
    for (let second = 0; second < 10; second++) {
      expect(access.check(ALICE, CREATE, 'team-a')).toBeUndefined();
      await clock.advance(999);
    }
    await clock.advance(20);
    await expect(check()).rejects.toMatchObject({ code: 'AccessUnknown' });
  });

  test('is renewed behind a steady caller, who never waits', async () => {
    for (let second = 0; second < 100; second++) {
      expect(access.check(ALICE, CREATE, 'team-a')).toBeUndefined();
      await clock.advance(1_000);
    }
    expect(server.asked.length).toBeLessThan(100);
  });

  test.each([
    ['a token that was revoked', () => server.tokens.clear(), 'Unauthenticated'],
    ['a right that was taken away', () => server.allowed.clear(), 'Forbidden'],
  ])('ends in its time: %s, also for a steady caller', async (_what, revoke, code) => {
    await clock.advance(4_000);
    revoke();
    const refusals: unknown[] = [];
    for (let quarter = 0; quarter < 41; quarter++) {
      await check().catch((error: unknown) => refusals.push(error));
      await clock.advance(250);
    }
    expect(refusals[0]).toMatchObject({ code });
    await expect(check()).rejects.toMatchObject({ code });
  });

  test('of one namespace or verb says nothing of another', async () => {
    await expect(check(ALICE, 'team-b')).rejects.toMatchObject({ code: 'Forbidden' });
    expect(access.check(ALICE, CREATE, 'team-a')).toBeUndefined();
  });
});

test('while the apiserver is away the log tells it now and then, and not once for each caller', async () => {
  const lines: object[] = [];
  const log = { ...silentLog, warn: (fields: object) => lines.push(fields) };
  access = new ReviewedAccess({ clock, log, review: server.review }, { audiences: ['warmpool.dev'] });
  server.isAway = true;
  for (let caller = 0; caller < 200; caller++) {
    await expect(check(`Bearer token-${caller}`)).rejects.toMatchObject({ code: 'AccessUnknown' });
    await clock.advance(100);
  }
  expect(lines).toMatchObject([{ untold: 0 }, { untold: 99 }]);
});

test('a refusal is kept only briefly: a right that was given counts soon', async () => {
  await expect(check(ALICE, 'team-b')).rejects.toMatchObject({ code: 'Forbidden' });
  server.allowed.add('alice create warmpoolclaims team-b');
  await expect(check(ALICE, 'team-b')).rejects.toMatchObject({ code: 'Forbidden' });
  await clock.advance(2_001);
  await check(ALICE, 'team-b');
});

test('a flood of tokens that nobody knows is refused at a bound, and displaces nobody', async () => {
  await check();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.hold = promise;
  const flood = Array.from({ length: 1_000 }, (_, index) =>
    check(`Bearer bad-${index}`).catch((error: unknown) => error),
  );
  await clock.advance(0);
  expect(access.check(ALICE, CREATE, 'team-a')).toBeUndefined();
  resolve();
  const codes = (await Promise.all(flood)).map((error) => (error as { code: string }).code);
  expect(codes.filter((code) => code === 'AccessUnknown').length).toBeGreaterThan(500);
  expect(codes.filter((code) => code === 'Unauthenticated').length).toBeGreaterThan(16);
  expect(server.asked.length).toBeLessThan(500);
});
