import { logsReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { atMost, exactly, expectLike, not } from '../expectation.ts';
import type { Instance } from '../instance.ts';
import { expectSchema } from './status.ts';

interface Line {
  seq: number;
  stream: string;
  requestId?: string;
  text: string;
}

export const LOG_CASES: ConformanceCase[] = [
  {
    rule: 'LOGS-1',
    title: 'keeps what each request wrote, by its id and stream, in order',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      for (const id of ['one', 'two'])
        await runtime.invoke({ act: 'log', text: `says ${id} ž` }, { 'x-request-id': id });
      const { body } = await runtime.get('/v1/logs');
      expectSchema('the logs', logsReplySchema, body);
      const lines = (body as { lines: Line[] }).lines.map(
        ({ stream, requestId, text }) => `${stream} ${requestId}: ${text}`,
      );
      const of = (stream: string): string[] => lines.filter((line) => line.startsWith(stream));
      expectLike('stdout', of('stdout'), ['stdout one: says one ž', 'stdout two: says two ž']);
      expectLike('stderr', of('stderr'), ['stderr one: error: says one ž', 'stderr two: error: says two ž']);
    },
  },
  {
    rule: 'LOGS-2',
    title: 'gives the lines of one request when asked for it',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (const id of ['mine', 'mine-too']) await runtime.invoke({ act: 'log', text: id }, { 'x-request-id': id });
      const ids = new Set((await linesOf(runtime, '?requestId=mine')).map(({ requestId }) => requestId));
      expectLike('whose lines there are', [...ids], ['mine']);
    },
  },
  {
    rule: 'LOGS-3',
    title: 'numbers lines in order',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (let index = 0; index < 3; index++) await runtime.invoke({ act: 'log', text: `numbered ${index}` });
      const seqs = (await linesOf(runtime)).map(({ seq }) => seq);
      expectLike('seq', seqs, exactly([...new Set(seqs)].sort((a, b) => a - b)));
    },
  },
  {
    rule: 'LOGS-4',
    title: 'passes on to the real stdout and stderr what the function writes',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      await runtime.invoke({ act: 'log', text: 'passed on ž' });
      const output = (): string => runtime.facts.process?.output() ?? '';
      await runtime.until(
        'both lines in the output',
        () => output().includes('passed on ž\n') && output().includes('error: passed on ž'),
        3_000,
      );
    },
  },
  {
    rule: 'LOGS-5',
    title: 'cuts a line above 16 KiB, marks it with … and says truncated',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      await runtime.invoke({ act: 'longLine', sizeBytes: 100_000 });
      const { body } = await runtime.get('/v1/logs');
      const text = (body as { lines: Line[] }).lines.at(-1)?.text ?? '';
      expectLike('the end of the line', text.slice(-2), 'x…');
      expectLike('the length of the line', Buffer.byteLength(text), atMost(16 * 1024 + 3));
      expectLike('truncated', (body as { truncated: boolean }).truncated, true);
    },
  },
  {
    rule: 'LOGS-6',
    title: 'keeps the newest lines within its bytes and says truncated',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({}, { env: { WARMPOOL_LOG_BYTES: '40000' } });
      await runtime.invoke({ act: 'log', text: 'the oldest' });
      for (let index = 0; index < 3; index++) await runtime.invoke({ act: 'longLine', sizeBytes: 15_000 });
      const { body } = await runtime.get('/v1/logs');
      const { lines, truncated } = body as { lines: Line[]; truncated: boolean };
      expectLike('the first line', lines[0]?.text, not('the oldest'));
      expectLike(
        'the length of all lines',
        lines.reduce((sum, { text }) => sum + text.length, 0),
        atMost(40_000),
      );
      expectLike('truncated', truncated, true);
    },
  },
  {
    rule: 'LOGS-7',
    title: 'gives the newest lines that fit into limitBytes',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (const id of ['older', 'newer']) {
        await runtime.invoke({ act: 'longLine', sizeBytes: 10_000 }, { 'x-request-id': id });
      }
      const lines = await linesOf(runtime, '?limitBytes=15000');
      expectLike('the lines', lines, [{ requestId: 'newer' }]);
    },
  },
  {
    rule: 'LOGS-8',
    title: 'refuses a limit that is not a number of bytes',
    begins: 'standby',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.get('/v1/logs?limitBytes=many'), {
        status: 400,
        body: { code: 'BadRequest', details: [{ field: 'limitBytes' }] },
      });
    },
  },
  {
    rule: 'LOGS-9',
    title: 'gives the lines of a request while it runs',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const running = runtime.invoke({ act: 'logTwice', text: 'work', ms: 1_200 }, { 'x-request-id': 'at-work' });
      await runtime.until(
        'its first line',
        async () => (await linesOf(runtime, '?requestId=at-work')).length > 0,
        1_100,
      );
      expectLike('the lines', await linesOf(runtime, '?requestId=at-work'), [{ text: 'work begins' }]);
      await running;
      expectLike('the lines after it', await linesOf(runtime, '?requestId=at-work'), [
        { text: 'work begins' },
        { text: 'work ends' },
      ]);
    },
  },
  {
    rule: 'LOGS-10',
    title: 'takes text without an end of line as a line when the request ends',
    begins: 'loaded',
    run: async ({ runtime }) => {
      await runtime.invoke({ act: 'write', text: 'no end of line' }, { 'x-request-id': 'open-ended' });
      await runtime.invoke({ act: 'write', text: 'another' }, { 'x-request-id': 'after-it' });
      expectLike('the lines', await linesOf(runtime, '?requestId=open-ended'), [{ text: 'no end of line' }]);
    },
  },
  {
    rule: 'LOGS-11',
    title: 'survives bytes that are no text, and keeps its answers JSON',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'rubbish' }, { 'x-request-id': 'rubbish' });
      expectLike('the status', answer.status, atMost(204));
      const { status, body } = await runtime.get('/v1/logs?requestId=rubbish');
      expectLike('the status of the logs', status, 200);
      expectSchema('the logs', logsReplySchema, body);
      expectLike('how many lines there are', (body as { lines: Line[] }).lines.length, 1);
    },
  },
  {
    rule: 'LOGS-12',
    title: 'does not mix the lines of requests that run at once',
    begins: 'fresh',
    offer: 'concurrency',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({
        limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000, concurrency: 5 },
      });
      const ids = ['a', 'b', 'c', 'd', 'e'];
      await Promise.all(
        ids.map((id) => runtime.invoke({ act: 'logTwice', text: id, ms: 100 }, { 'x-request-id': id })),
      );
      for (const id of ids) {
        const lines = (await linesOf(runtime, `?requestId=${id}`)).map(({ text }) => text);
        expectLike(`the lines of ${id}`, lines, [`${id} begins`, `${id} ends`]);
      }
    },
  },
];

export async function linesOf(runtime: Instance, query = ''): Promise<Line[]> {
  return ((await runtime.get(`/v1/logs${query}`)).body as { lines?: Line[] } | undefined)?.lines ?? [];
}
