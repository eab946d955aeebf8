import { renameSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { tarOf, type TarEntry } from '@warmpool/host-agent/testing/tar-builder.ts';
import { zipOf } from '@warmpool/host-agent/testing/zip-builder.ts';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import type { Fixture, RuntimeFixtures } from '../contract/runtime-agent/fixtures.ts';
import { nodejsFixtures, pythonFixtures } from '../contract/runtime-agent/fixtures.ts';
import { aNodePool, aPythonPool, isPythonHere, LocalWorld } from '../support/local-world.ts';

/** Whatever a claim brings, it gets one clear answer, and nothing of it stays: no instance, no process, no half of a cache entry. */

const hasPython = await isPythonHere();
const MAX_ENTRIES = 1000;
const INIT_TIMEOUT_MS = 400;

let world: LocalWorld;
let entriesBefore: string[];
let processesOfFullPools: number;
beforeAll(async () => {
  world = await LocalWorld.start([aNodePool(3), ...(hasPython ? [aPythonPool(3)] : [])], {
    hostAgentArgs: ['--allow-loopback-sources', '--max-entries', String(MAX_ENTRIES)],
  });
  processesOfFullPools = world.processes().length;
});
beforeEach(() => {
  entriesBefore = world.cache().entries;
});
afterEach(() => expect(world.cache().leftovers).toEqual([]));
afterAll(() => world.stop());

/** After the last of a group: pools are full again, nothing is claimed, and no process is there that was not there at first. */
function thenAllIsAsBefore(): void {
  afterAll(async () => {
    await world.untilFull();
    await vi.waitFor(() => expect(world.processes().length).toBeLessThanOrEqual(processesOfFullPools), 5000);
  });
}

interface Expected {
  status: number;
  code: string;
  message: RegExp;
  phase?: string;
}

async function expectRefused(claim: ClaimRequestInput, expected: Expected, pool = 'nodejs'): Promise<void> {
  const answer = await world.tryClaim(pool, claim);
  const body = errorBodySchema.parse(answer.body);
  const { status, code, phase, message } = expected;
  expect({ status: answer.status, ...body }).toMatchObject({
    ...{ status, statusCode: status, code, message: expect.stringMatching(message) as string },
    ...(phase !== undefined && { phase }),
  });
  // a person reads this: no path of the platform, no stack of the platform
  expect(body.message).not.toContain(world.local.runDir);
  expect(body.stack ?? '').not.toMatch(/bootstrap|host-agent|operator/);
}

describe('code that cannot be had', () => {
  thenAllIsAsBefore();
  afterEach(() => expect(world.cache().entries).toEqual(entriesBefore));

  it('does not match its digest', () => {
    const code = { ...world.storedFiles({ 'index.js': '' }), digest: `sha256:${'0'.repeat(64)}` };
    const message = /^the code has digest sha256:[0-9a-f]{64}, but the claim says sha256:0{64}$/;
    return expectRefused(world.claimOf(code), { status: 422, code: 'DigestMismatch', message });
  });

  it('is not in the store', () => {
    const code = { ...world.storedFiles({ 'index.js': '' }), key: 'functions/gone.tar' };
    const message = /^object "functions\/gone\.tar" of the folder store does not exist$/;
    return expectRefused(world.claimOf(code), { status: 404, code: 'ObjectNotFound', message });
  });

  it('is on a server that does not listen', () => {
    const code = { url: 'http://127.0.0.1:9/code.tar', digest: `sha256:${'0'.repeat(64)}`, format: 'tar' } as const;
    const message = /^the store at http:\/\/127\.0\.0\.1:9 cannot be used: the connection is refused/;
    return expectRefused(world.claimOf(code), { status: 502, code: 'StoreUnreachable', message });
  });

  it('is in a store that is gone', async () => {
    const code = world.storedFiles({ 'index.js': '' });
    renameSync(world.storeDir, `${world.storeDir}-away`);
    const message = /^the store at folder .* cannot be used: it does not exist or cannot be read$/;
    try {
      await expectRefused(world.claimOf(code), { status: 502, code: 'StoreUnreachable', message });
    } finally {
      renameSync(`${world.storeDir}-away`, world.storeDir);
    }
  });
});

describe('an archive that is none, or a hostile one, is refused and leaves nothing', () => {
  thenAllIsAsBefore();
  afterEach(() => expect(world.cache().entries).toEqual(entriesBefore));
  const file = (name: string): TarEntry => ({ name, body: 'x' });
  const whole = gzipSync(tarOf([{ name: 'index.js', body: 'exports.handler = () => 1;\n'.repeat(200) }]));

  it.each<[string, () => Buffer, 'tar' | 'tar.gz' | 'tar.zst' | 'zip', string, RegExp]>([
    ['text as tar', () => Buffer.from('hello '.repeat(200)), 'tar', 'BadArchive', /^the archive /],
    ['text as tar.gz', () => Buffer.from('hello'), 'tar.gz', 'BadArchive', /^the archive /],
    ['text as tar.zst', () => Buffer.from('hello'), 'tar.zst', 'BadArchive', /^the archive /],
    ['text as zip', () => Buffer.from('hello'), 'zip', 'BadArchive', /^the archive /],
    ['nothing', () => Buffer.alloc(0), 'tar', 'BadArchive', /^the archive /],
    ['a path out of it', () => tarOf([file('a/../../evil')]), 'tar', 'BadArchive', /"a\/\.\.\/\.\.\/evil" has "\.\."/],
    ['a path out of it (zip)', () => zipOf([{ name: '../evil', body: 'x' }]), 'zip', 'BadArchive', /\.\.\/evil/],
    ['an absolute path', () => tarOf([file('/tmp/evil')]), 'tar', 'BadArchive', /has an absolute path/],
    ['a link out', () => tarOf([{ name: 'l', type: '2', linkName: '../../x' }]), 'tar', 'BadArchive', /may lead out/],
    [
      'an absolute link',
      () => tarOf([{ name: 'l', type: '2', linkName: '/etc' }]),
      'tar',
      'BadArchive',
      /absolute path/,
    ],
    [
      'a hard link out',
      () => tarOf([{ name: 'l', type: '1', linkName: '/etc/passwd' }]),
      'tar',
      'BadArchive',
      /absolute path/,
    ],
    ['a character device', () => tarOf([{ name: 'd', type: '3' }]), 'tar', 'BadArchive', /"d" is a .*device/],
    ['a block device', () => tarOf([{ name: 'd', type: '4' }]), 'tar', 'BadArchive', /"d" is a .*device/],
    ['a FIFO', () => tarOf([{ name: 'f', type: '6' }]), 'tar', 'BadArchive', /"f" is a FIFO/i],
    [
      'a bomb',
      () => gzipSync(tarOf([{ name: 'zeros', body: Buffer.alloc(48 * 1024 * 1024) }])),
      'tar.gz',
      'ArchiveTooLarge',
      /^the archive .*(times|unpack)/,
    ],
    [
      'too many entries',
      () => tarOf(Array.from({ length: MAX_ENTRIES + 1 }, (_, i) => file(`f${i}`))),
      'tar',
      'ArchiveTooLarge',
      /^the archive .*1000 entries/,
    ],
    ['one cut short', () => whole.subarray(0, whole.length - 20), 'tar.gz', 'BadArchive', /^the archive /],
  ])('%s', async (_what, bytes, format, code, message) => {
    await expectRefused(world.claimOf(world.stored(bytes(), format)), { status: 422, code, message });
  });
});

interface BadCode extends Expected {
  fixture: Exclude<keyof RuntimeFixtures, 'acts'>;
  kind?: NonNullable<ClaimRequestInput['kind']>;
}

const CASES: BadCode[] = [
  { fixture: 'handlerMissing', status: 422, code: 'HandlerNotFound', phase: 'handler', message: /"?handler"?.*other/ },
  { fixture: 'handlerNotFunction', status: 422, code: 'HandlerNotFound', phase: 'handler', message: /index\.handler/ },
  { fixture: 'moduleMissing', status: 422, code: 'HandlerNotFound', message: /(src\/gone|missing)/ },
  { fixture: 'throwsOnImport', status: 422, code: 'UserCodeError', phase: 'import', message: /no database today/ },
  {
    fixture: 'syntaxError',
    status: 422,
    code: 'UserCodeError',
    phase: 'import',
    message: /SyntaxError|failed while it was imported/,
  },
  { fixture: 'exitsOnImport', status: 422, code: 'UserCodeError', phase: 'import', message: /exit.*3/ },
  { fixture: 'exitsWithZeroOnImport', status: 422, code: 'UserCodeError', phase: 'import', message: /exit.*0/ },
  { fixture: 'waitsOnImport', status: 504, code: 'InitTimeout', message: /400 ms/ },
  { fixture: 'spinsOnImport', status: 504, code: 'InitTimeout', message: /400 ms/ },
  { fixture: 'httpThrows', kind: 'http', status: 422, code: 'UserCodeError', message: /no database today/ },
  { fixture: 'httpNeverListens', kind: 'http', status: 504, code: 'InitTimeout', message: /400 ms/ },
  { fixture: 'httpWrongPort', kind: 'http', status: 422, code: 'UserCodeError', phase: 'listen', message: /\$PORT/ },
];

function badCode(pool: string, fixtures: RuntimeFixtures): void {
  thenAllIsAsBefore();
  it.each(CASES)('$fixture is $status $code', async ({ fixture, kind = 'handler', ...expected }) => {
    const { files, handler }: Fixture = fixtures[fixture];
    const limits = { initTimeoutMs: INIT_TIMEOUT_MS };
    const claim = world.claimFor(files, { handler, kind, limits });
    const startedMs = performance.now();
    await expectRefused(claim, expected, pool);
    // an answer comes soon after the limit, not with the claim's own deadline
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect((await world.call('GET', `/v1/claims/default/${claim.claimId}`)).body).not.toMatchObject({ state: 'ready' });
  });
}

describe('code that cannot be run, in Node', () => badCode('nodejs', nodejsFixtures));
describe('a module that never gives the thread back after its first await', () => {
  it('is answered soon after its limit, and its process is gone soon after the answer', async () => {
    const files = { 'index.mjs': 'await null;\nfor (;;);\nexport const handler = () => 1;\n' };
    const claim = world.claimFor(files, { limits: { initTimeoutMs: INIT_TIMEOUT_MS } });
    await expectRefused(claim, { status: 504, code: 'InitTimeout', message: /did not finish importing|not imported/ });
    await world.untilFull();
    await vi.waitFor(() => expect(world.processes().length).toBeLessThanOrEqual(processesOfFullPools), 5000);
  });
});

describe.runIf(hasPython)('code that cannot be run, in Python', () => badCode('python', pythonFixtures));

describe('a claim that is too large', () => {
  it('in its env is 400 and names the field', () => {
    const env = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`NAME_${i}`, 'x'.repeat(32_000)]));
    const message = /^the claim is not valid: env: must not be larger than 262144 characters in all$/;
    const claim = world.claimFor({ 'index.js': '' }, { env });
    return expectRefused(claim, { status: 400, code: 'InvalidRequest', message });
  });

  it('as a whole is 413', () => {
    const claim = world.claimFor({ 'index.js': '' }, { env: { A: 'x'.repeat(1024 * 1024) } });
    return expectRefused(claim, { status: 413, code: 'BodyTooLarge', message: /larger than/ });
  });
});

describe('a pool', () => {
  it('that does not exist is named', () =>
    expectRefused(
      world.claimFor({ 'index.js': '' }),
      { status: 404, code: 'PoolNotFound', message: /^there is no pool nowhere in namespace default$/ },
      'nowhere',
    ));
});
