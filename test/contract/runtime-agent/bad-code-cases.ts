import { expect, it } from 'vitest';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import type { ErrorBody } from '@warmpool/protocol/errors.ts';
import type { Fixture } from './fixtures.ts';
import type { StartedRuntime } from './started-runtime.ts';
import type { Bench } from './suite.ts';

const SHORT = { limits: { requestTimeoutMs: 10_000, initTimeoutMs: 400 } };

export function badCodeCases({ fixtures, start }: Bench): void {
  /** Loads, and checks what holds after every failed load: one error, the reason on file, the process ended with 1. */
  async function failedLoad(
    fixture: Fixture,
    changes: Record<string, unknown> = {},
  ): Promise<{ error: ErrorBody; runtime: StartedRuntime }> {
    const runtime = await start();
    const answer = await runtime.load(fixture, changes);
    const error = errorBodySchema.parse(answer.json);
    expect(answer.statusCode).toBe(error.statusCode);
    expect(await runtime.exited()).toEqual({ exitCode: 1, signal: null });
    expect(runtime.termination()).toMatchObject({ reason: error.code, message: error.message });
    return { error, runtime };
  }

  it('answers a module that throws with its message and its own frames only', async () => {
    const { error } = await failedLoad(fixtures.throwsOnImport);
    expect(error).toMatchObject({ statusCode: 422, code: 'UserCodeError', phase: 'import' });
    expect(error.message).toContain('no database today');
    const [file = ''] = Object.keys(fixtures.throwsOnImport.files);
    expect(error.stack).toContain(file);
    expect(error.stack).not.toContain('bootstrap/');
  });

  it('answers a module that does not parse, naming the file', async () => {
    const { error } = await failedLoad(fixtures.syntaxError);
    expect(error).toMatchObject({ statusCode: 422, code: 'UserCodeError', phase: 'import' });
    const [file = ''] = Object.keys(fixtures.syntaxError.files);
    expect(`${error.message}\n${error.stack ?? ''}`).toContain(file);
  });

  it('answers a module that ends the process while it is imported', async () => {
    const { error } = await failedLoad(fixtures.exitsOnImport);
    expect(error).toMatchObject({ statusCode: 422, code: 'UserCodeError', phase: 'import' });
    expect(error.message).toContain('exit(3)');
  });

  it('answers an import that waits for ever when its time is up', async () => {
    const startedAt = performance.now();
    const { error } = await failedLoad(fixtures.waitsOnImport, SHORT);
    expect(error).toMatchObject({ statusCode: 504, code: 'InitTimeout', phase: 'import' });
    expect(error.message).toContain('400 ms');
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  it('ends an import that loops for ever, with an answer or with the reason on file', async () => {
    const runtime = await start();
    const answer = await runtime.load(fixtures.spinsOnImport, SHORT).catch(() => undefined);
    await runtime.exited();
    expect(runtime.termination()).toMatchObject({ reason: 'InitTimeout' });
    if (answer !== undefined) expect(answer).toMatchObject({ statusCode: 504, json: { code: 'InitTimeout' } });
  });

  it('gives an import that is slow, but in time, its time', async () => {
    const runtime = await start();
    expect((await runtime.load(fixtures.slowImport)).statusCode).toBe(200);
    expect((await runtime.invoke({})).json).toEqual({ ok: true });
  });

  it('ends an import that is too slow', async () => {
    const { error } = await failedLoad(fixtures.slowImport, {
      limits: { requestTimeoutMs: 1_000, initTimeoutMs: 100 },
    });
    expect(error).toMatchObject({ statusCode: 504, code: 'InitTimeout', phase: 'import' });
  });

  it('names the export that is missing and those that exist', async () => {
    const { error } = await failedLoad(fixtures.handlerMissing);
    expect(error).toMatchObject({ statusCode: 422, code: 'HandlerNotFound' });
    expect(error.message).toContain(fixtures.handlerMissing.handler);
    expect(error.message).toContain('other');
  });

  it('says what an export is that is not a function', async () => {
    const { error } = await failedLoad(fixtures.handlerNotFunction);
    expect(error).toMatchObject({ statusCode: 422, code: 'HandlerNotFound' });
    expect(error.message).toMatch(/not a function|not callable/);
  });

  it('names the module that is missing', async () => {
    const { error } = await failedLoad(fixtures.moduleMissing);
    expect(error).toMatchObject({ statusCode: 422, code: 'HandlerNotFound' });
    expect(error.message).toContain(fixtures.moduleMissing.handler);
  });

  it('gives everyone who waits for a failing load the same answer', async () => {
    const runtime = await start();
    const answers = await Promise.all([1, 2, 3].map(() => runtime.load(fixtures.waitsOnImport, SHORT)));
    for (const answer of answers) expect(answer.json).toEqual(answers[0]?.json);
    expect(answers[0]).toMatchObject({ statusCode: 504 });
  });
}
