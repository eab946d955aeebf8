import { expect, it } from 'vitest';
import { logsReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { LogsReply } from '@warmpool/protocol/runtime-agent-api.ts';
import type { StartedRuntime } from './started-runtime.ts';
import type { Bench } from './suite.ts';

export function logCases({ fixtures, start }: Bench): void {
  async function logs(runtime: StartedRuntime, query = ''): Promise<LogsReply> {
    return logsReplySchema.parse((await runtime.send({ method: 'GET', path: `/v1/logs${query}` })).json);
  }

  it('keeps what each request wrote, by its id and stream, and passes it on', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    for (const id of ['one', 'two']) await runtime.invoke({ act: 'log', text: `says ${id} ž` }, { 'x-request-id': id });
    const all = await logs(runtime);
    expect(all.truncated).toBe(false);
    expect(all.lines.map(({ stream, requestId, text }) => ({ stream, requestId, text }))).toEqual(
      ['one', 'two'].flatMap((id) => [
        { stream: 'stdout', requestId: id, text: `says ${id} ž` },
        { stream: 'stderr', requestId: id, text: `error: says ${id} ž` },
      ]),
    );
    expect(all.lines.map((line) => line.seq)).toEqual(all.lines.map((line) => line.seq).sort((a, b) => a - b));
    expect((await logs(runtime, '?requestId=two')).lines.map((line) => line.requestId)).toEqual(['two', 'two']);
    await runtime.until(
      'the output',
      () => runtime.output.includes('says two ž') && runtime.output.includes('error: says two ž'),
    );
  });

  it('keeps the newest lines within its bytes, cuts long ones, and says so', async () => {
    const runtime = await start({ env: { WARMPOOL_LOG_BYTES: '40000' } });
    await runtime.load(fixtures.acts);
    await runtime.invoke({ act: 'log', text: 'the oldest' });
    await runtime.invoke({ act: 'longLine', sizeBytes: 100_000 });
    const cut = await logs(runtime);
    const long = cut.lines.at(-1)?.text ?? '';
    expect(cut.truncated).toBe(true);
    expect(long.endsWith('…')).toBe(true);
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(16 * 1024 + 3);
    for (let index = 0; index < 3; index++) await runtime.invoke({ act: 'longLine', sizeBytes: 15_000 });
    const rolled = await logs(runtime);
    expect(rolled.truncated).toBe(true);
    expect(rolled.lines.some((line) => line.text === 'the oldest')).toBe(false);
    expect(rolled.lines.reduce((sum, line) => sum + line.text.length, 0)).toBeLessThanOrEqual(40_000);
    const limited = await logs(runtime, '?limitBytes=15000');
    expect(limited.lines).toHaveLength(1);
    expect(limited.lines[0]?.seq).toBe(rolled.lines.at(-1)?.seq);
  });

  it('refuses a limit that is not a number of bytes', async () => {
    const runtime = await start();
    const answer = await runtime.send({ method: 'GET', path: '/v1/logs?limitBytes=many' });
    expect(answer).toMatchObject({ statusCode: 400, json: { code: 'BadRequest', details: [{ field: 'limitBytes' }] } });
  });
}
