import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { CircuitBreaker } from '../core/circuit-breaker.ts';
import { ObjectServer } from '../testing/object-server.ts';
import type { ShapedPort } from '../testing/shaped-link.ts';
import { shapedPort } from '../testing/shaped-link.ts';
import type { Download } from './downloader.ts';
import { Downloader } from './downloader.ts';
import { DEFAULT_FETCH_BUDGET, FetchBudget } from './fetch-budget.ts';
import type { MirrorOutcome } from './mirrored-store.ts';
import { MIRROR_PATIENCE_MS, MirroredStore } from './mirrored-store.ts';
import { S3Store } from './s3-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

const MIB = 1024 * 1024;
const random = (): number => 0.5;
let origin: ObjectServer;
let mirror: ObjectServer;
let mirrorLink: ShapedPort;
let dispatcher: ReturnType<typeof createSourceDispatcher>;
let store: MirroredStore;
let outcomes: MirrorOutcome[];
let bytes: Buffer;
let originHost: string;

beforeEach(async () => {
  [origin, mirror] = [new ObjectServer(), new ObjectServer()];
  mirrorLink = await shapedPort(mirror.server, { roundTripMs: 1, bytesPerSecond: 1e9 });
  dispatcher = createSourceDispatcher({ allowLoopback: true });
  outcomes = [];
  const deps = { dispatcher, clock: systemClock, random };
  const endpoint = new URL(await origin.listen());
  originHost = endpoint.host;
  const s3 = new S3Store(deps, 'code', {
    ...{ endpoint, region: 'eu', addressing: 'path' },
    credentials: { kind: 'static', credentials: { accessKeyId: 'id', secretAccessKey: 'key' } },
  });
  const onOutcome = (outcome: MirrorOutcome): void => void outcomes.push(outcome);
  store = new MirroredStore({ ...deps, origin: s3, onOutcome }, new URL(`http://127.0.0.1:${mirrorLink.port}`));
  bytes = randomBytes(4 * MIB);
  for (const server of [origin, mirror]) server.objects.set('code/app.tar', bytes);
});
afterEach(async () => {
  await dispatcher.destroy();
  await mirrorLink.close();
  await Promise.all([origin.close(), mirror.close()]);
});

async function open(originOnly = false): Promise<Download> {
  const budget = new FetchBudget(systemClock, DEFAULT_FETCH_BUDGET);
  const downloader = new Downloader({ clock: systemClock, random, budget });
  const priority = { kind: 'claim' as const, deadlineUnixMs: 0 };
  const { signal } = new AbortController();
  return downloader.open(store, 'app.tar', 'l', { signal, priority, wantsTail: false, originOnly });
}

async function fetchAll(): Promise<{ isRight: boolean; tookMs: number }> {
  const startedMs = performance.now();
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await open()).stream) chunks.push(chunk);
  return { isRight: Buffer.concat(chunks).equals(bytes), tookMs: performance.now() - startedMs };
}

describe('a mirror', () => {
  test('that is well serves everything, and gets the request that the store would get', async () => {
    const seen = new Set<unknown>();
    mirror.intercept = ({ headers }) => {
      seen.add(headers.host);
      expect(headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=id\//);
      return false;
    };
    expect((await fetchAll()).isRight).toBe(true);
    expect(origin.requests).toEqual([]);
    expect([...seen]).toEqual([originHost]);
    expect(new Set(outcomes)).toEqual(new Set(['served']));
  });

  test.each([403, 429, 500, 503])('that answers %d costs nothing but a request', async (status) => {
    mirror.intercept = (_request, response) => {
      response.writeHead(status).end('no');
      return true;
    };
    const { isRight, tookMs } = await fetchAll();
    expect(isRight).toBe(true);
    expect(tookMs).toBeLessThan(MIRROR_PATIENCE_MS);
    expect(outcomes[0]).toBe(`status_${status}`);
    expect(outcomes.slice(1).every((outcome) => outcome === 'paused')).toBe(true);
    expect(mirror.requests).toHaveLength(1);
  });

  test('that lacks the object is passed by, and asked for the next one', async () => {
    mirror.objects.clear();
    expect((await fetchAll()).isRight).toBe(true);
    mirror.objects.set('code/app.tar', bytes);
    const before = origin.requests.length;
    expect((await fetchAll()).isRight).toBe(true);
    expect(origin.requests).toHaveLength(before);
  });

  test('that is gone is not waited for', async () => {
    await mirrorLink.close();
    expect((await fetchAll()).isRight).toBe(true);
    expect(outcomes[0]).toBe('unreachable');
    mirrorLink = await shapedPort(mirror.server, { roundTripMs: 1, bytesPerSecond: 1e9 });
  });

  test.each([
    ['never answers', 'no_answer', () => true],
    [
      'stops in the middle',
      'slow',
      (_request: unknown, response: import('node:http').ServerResponse) => {
        response.writeHead(206, { 'content-range': `bytes 0-${MIB - 1}/${4 * MIB}`, 'content-length': MIB });
        response.write(bytes.subarray(0, 1000));
        return true;
      },
    ],
  ] as const)('that %s makes a claim late by its patience at most', async (_what, outcome, intercept) => {
    mirror.intercept = intercept as typeof mirror.intercept;
    const { isRight, tookMs } = await fetchAll();
    expect(isRight).toBe(true);
    expect(outcomes).toContain(outcome);
    expect(tookMs).toBeLessThan(MIRROR_PATIENCE_MS + 1_000);
  });

  test('that sends 10 KB a second makes a claim late by its patience at most', async () => {
    mirrorLink.reshape({ bytesPerSecond: 10_000 });
    const { isRight, tookMs } = await fetchAll();
    expect(isRight).toBe(true);
    expect(outcomes).toContain('slow');
    expect(tookMs).toBeLessThan(MIRROR_PATIENCE_MS + 1_000);
  });

  test('that breaks off or answers with another range is not believed', async () => {
    mirror.intercept = (_request, response) => {
      response.writeHead(206, { 'content-range': `bytes 0-${MIB - 1}/${4 * MIB}`, 'content-length': MIB });
      response.write(bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
      return true;
    };
    expect((await fetchAll()).isRight).toBe(true);
    expect(outcomes).toContain('broke_off');
  });

  test('whose bytes were wrong is not asked for the next half minute', async () => {
    mirror.objects.set('code/app.tar', randomBytes(4 * MIB));
    const wrong = await open();
    for await (const chunk of wrong.stream) expect(chunk.length).toBeGreaterThan(0);
    wrong.blame?.();
    expect((await fetchAll()).isRight).toBe(true);
    expect(outcomes).toContain('wrong_bytes');
  });
});

describe('a circuit breaker', () => {
  test('lets one request through after each pause, and the pauses grow', () => {
    const breaker = new CircuitBreaker(() => 1);
    expect(breaker.admits(0)).toBe(true);
    breaker.fail(0);
    breaker.fail(1);
    const admitted: number[] = [];
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
      if (!breaker.admits(nowMs)) continue;
      admitted.push(nowMs);
      breaker.fail(nowMs);
    }
    const pauses = admitted.slice(1).map((at, index) => at - (admitted[index] ?? 0));
    expect(pauses[0]).toBeGreaterThanOrEqual(1_000);
    expect(pauses.every((pause, index) => index === 0 || pause >= (pauses[index - 1] ?? 0))).toBe(true);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
    breaker.succeed();
    expect([breaker.admits(60_001), breaker.admits(60_001)]).toEqual([true, true]);
  });
});
