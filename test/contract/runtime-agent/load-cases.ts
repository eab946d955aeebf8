import { expect, it } from 'vitest';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { Bench } from './suite.ts';

/** One wrong value for each field, by the field that the answer must name. */
const WRONG_FIELDS: [field: string, changes: Record<string, unknown>][] = [
  ['claimId', { claimId: 'Not A Label' }],
  ['claimId', { claimId: undefined }],
  ['fence', { fence: -1 }],
  ['fence', { fence: '5' }],
  ['function', { function: 'orders' }],
  ['function.name', { function: { name: '', version: '1', tenant: 'acme' } }],
  ['function.version', { function: { name: 'a', version: 'v 1', tenant: 'acme' } }],
  ['function.tenant', { function: { name: 'a', version: '1', tenant: '-' } }],
  ['runtime.name', { runtime: { name: 'Node', version: '24' } }],
  ['runtime.version', { runtime: { name: 'nodejs', version: '' } }],
  ['kind', { kind: 'worker' }],
  ['handler', { handler: '../etc/passwd.run' }],
  ['handler', { handler: '' }],
  ['code', { code: null }],
  ['code.path', { code: { path: '', digest: `sha256:${'a'.repeat(64)}` } }],
  ['code.path', { code: { path: '/no/such/folder', digest: `sha256:${'a'.repeat(64)}` } }],
  ['code.digest', { code: { path: '/tmp', digest: 'md5:1' } }],
  ['env.KEY', { env: { KEY: 7 } }],
  ['env', { env: ['A=1'] }],
  ['env.1A', { env: { '1A': 'x' } }],
  ['service.region', { service: { region: {} } }],
  ['limits.requestTimeoutMs', { limits: { requestTimeoutMs: 0, initTimeoutMs: 1 } }],
  ['limits.initTimeoutMs', { limits: { requestTimeoutMs: 1, initTimeoutMs: 1.5 } }],
  ['extra', { extra: true }],
];

export function loadCases({ fixtures, start }: Bench): void {
  it('takes exactly one of twenty concurrent loads', async () => {
    const runtime = await start();
    const claims = Array.from({ length: 20 }, (_, index) => `claim-${index}`);
    const answers = await Promise.all(claims.map((claimId) => runtime.load(fixtures.acts, { claimId })));
    const winners = answers.filter((answer) => answer.statusCode === 200);
    expect(winners).toHaveLength(1);
    const winner = loadReplySchema.parse(winners[0]?.json);
    const losers = answers.filter((answer) => answer.statusCode !== 200);
    expect(losers.map((answer) => answer.statusCode)).toEqual(Array.from({ length: 19 }, () => 409));
    for (const loser of losers) {
      const error = errorBodySchema.parse(loser.json);
      expect(error.code).toBe('PodNotStandby');
      expect(error.message).toContain(winner.claimId);
    }
    expect((await runtime.status()).claimId).toBe(winner.claimId);
  });

  it('gives the same answer to the same load again, also while it is still loading', async () => {
    const runtime = await start();
    const answers = await Promise.all(Array.from({ length: 5 }, () => runtime.load(fixtures.slowImport)));
    answers.push(await runtime.load(fixtures.slowImport));
    for (const answer of answers) {
      expect(answer.statusCode).toBe(200);
      expect(answer.json).toEqual(answers[0]?.json);
    }
    const reply = loadReplySchema.parse(answers[0]?.json);
    const { state, claimId, port } = reply;
    expect({ state, claimId, port }).toEqual({ state: 'ready', claimId: 'claim-1', port: runtime.port });
    expect(reply.timings.importMs).toBeGreaterThan(200);
    expect(reply.timings.totalMs).toBeGreaterThanOrEqual(reply.timings.importMs);
  });

  it('refuses the same claim with another digest', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const request = runtime.loadRequest(fixtures.acts);
    const code = { ...(request['code'] as object), digest: `sha256:${'b'.repeat(64)}` };
    const answer = await runtime.send({ path: '/v1/load', body: { ...request, code } });
    expect(answer).toMatchObject({ statusCode: 409, json: { code: 'PodNotStandby' } });
  });

  it('refuses a fence lower than one it has seen', async () => {
    const runtime = await start();
    expect((await runtime.load(fixtures.acts, { fence: 5 })).statusCode).toBe(200);
    expect(await runtime.load(fixtures.acts, { fence: 4 })).toMatchObject({
      statusCode: 409,
      json: { code: 'PodNotStandby' },
    });
    expect((await runtime.load(fixtures.acts, { fence: 6 })).statusCode).toBe(200);
    expect((await runtime.load(fixtures.acts, { fence: 5 })).statusCode).toBe(409);
  });

  it('names each wrong field, and stays standby', async () => {
    const runtime = await start();
    for (const [field, changes] of WRONG_FIELDS) {
      const answer = await runtime.load(fixtures.acts, changes);
      const error = errorBodySchema.parse(answer.json);
      const named = error.details?.map((problem) => problem.field) ?? [];
      expect
        .soft({ status: answer.statusCode, code: error.code, named }, `${field} in ${JSON.stringify(changes)}`)
        .toEqual({
          status: 400,
          code: 'BadRequest',
          named: expect.arrayContaining([field]),
        });
    }
    expect((await runtime.status()).state).toBe('standby');
    expect((await runtime.load(fixtures.acts)).statusCode).toBe(200);
  });

  it('names every wrong field of one request', async () => {
    const runtime = await start();
    const answer = await runtime.load(fixtures.acts, { claimId: 7, kind: 'x', env: { A: null } });
    const named = errorBodySchema.parse(answer.json).details?.map((problem) => problem.field);
    expect(named).toEqual(expect.arrayContaining(['claimId', 'kind', 'env.A']));
  });

  it('refuses bodies that are broken, of another type, or too large, and stays standby', async () => {
    const runtime = await start();
    const json = { 'content-type': 'application/json' };
    const broken = await runtime.send({ path: '/v1/load', body: '{"claimId": ', headers: json });
    expect(broken).toMatchObject({ statusCode: 400, json: { code: 'BadJson' } });
    const text = await runtime.send({ path: '/v1/load', body: '{}', headers: { 'content-type': 'text/plain' } });
    expect(text).toMatchObject({ statusCode: 415, json: { code: 'UnsupportedMediaType' } });
    const large = await runtime.send({ path: '/v1/load', body: `"${'x'.repeat(3 * 1024 * 1024)}"`, headers: json });
    expect(large).toMatchObject({ statusCode: 413, json: { code: 'BodyTooLarge' } });
    for (const body of ['[]', 'null', '7', '"text"', '{}']) {
      const answer = await runtime.send({ path: '/v1/load', body, headers: json });
      expect(answer).toMatchObject({ statusCode: 400, json: { code: 'BadRequest' } });
    }
    expect((await runtime.status()).state).toBe('standby');
  });

  it('refuses a load for another runtime with 412 and stays standby', async () => {
    const runtime = await start();
    const { name } = runtime.runtime;
    const answer = await runtime.load(fixtures.acts, { runtime: { name, version: '1.0-other' } });
    const error = errorBodySchema.parse(answer.json);
    expect(error).toMatchObject({ statusCode: 412, code: 'RuntimeMismatch' });
    expect(error.message).toContain('1.0-other');
    expect((await runtime.status()).state).toBe('standby');
    expect((await runtime.load(fixtures.acts)).statusCode).toBe(200);
  });
}
