import { healthReplySchema, statusReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { z } from 'zod';
import type { ConformanceCase } from '../conformance-case.ts';
import { atLeast, BrokenRule, expectLike, inWords, not, oneOf } from '../expectation.ts';

/** Health and status. */
export const STATUS_CASES: ConformanceCase[] = [
  {
    rule: 'STATUS-1',
    title: 'answers health as its schema says, with the epoch of status',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answer = await runtime.get('/v1/health');
      expectLike('the answer', answer, { status: 200, body: { state: 'standby' } });
      expectSchema('health', healthReplySchema, answer.body);
      expectLike('health', answer.body, { epoch: (await runtime.status())['epoch'] });
    },
  },
  {
    rule: 'STATUS-2',
    title: 'names the version of the contract in health and status',
    begins: 'standby',
    run: async ({ runtime }) => {
      expectLike('health', (await runtime.get('/v1/health')).body, { contract: '1.0' });
      expectLike('status', (await runtime.get('/v1/status')).body, { contract: '1.0' });
    },
  },
  {
    rule: 'STATUS-3',
    title: 'answers status as its schema says, standby and loaded',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      expectSchema('the status of a standby process', statusReplySchema, (await runtime.get('/v1/status')).body);
      await runtime.load('acts');
      await runtime.invoke({ act: 'nothing' });
      const { body } = await runtime.get('/v1/status');
      expectSchema('the status of a loaded process', statusReplySchema, body);
      expectLike('the status', body, { rssMiB: atLeast(1), uptimeMs: atLeast(0), pid: atLeast(1) });
    },
  },
  {
    rule: 'STATUS-4',
    title: 'tells nothing of a claim while standby',
    begins: 'standby',
    run: async ({ runtime }) => {
      expectLike('the status', await runtime.status(), {
        state: 'standby',
        claimId: undefined,
        digest: undefined,
        inFlight: 0,
        executions: 0,
        requests: [],
      });
    },
  },
  {
    rule: 'STATUS-5',
    title: 'tells claim, digest, fence, port and runtime once loaded',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the status', await runtime.status(), {
        state: 'ready',
        claimId: 'claim-1',
        digest: `sha256:${'a'.repeat(64)}`,
        fence: 5,
        port: runtime.port,
        runtime: runtime.facts.runtime,
      });
    },
  },
  {
    rule: 'STATUS-6',
    title: 'raises seq with each change of state and with each request that begins or ends',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const seqs = [await seqOf(runtime)];
      await runtime.load('acts');
      seqs.push(await seqOf(runtime));
      const held = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.untilInFlight(1);
      seqs.push(await seqOf(runtime));
      await runtime.release('held');
      await held;
      seqs.push(await seqOf(runtime));
      const grows = seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0));
      expectLike(`whether seq grew each time (${seqs.join(', ')})`, grows, true);
    },
  },
  {
    rule: 'STATUS-7',
    title: 'keeps its epoch for life, and has another in every process',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const { epoch } = await runtime.status();
      const other = await start().catch(() => undefined);
      if (other !== undefined) expectLike('the epoch of another process', (await other.status())['epoch'], not(epoch));
      await runtime.load('acts');
      expectLike('the epoch after the load', (await runtime.status())['epoch'], epoch);
    },
  },
  {
    rule: 'STATUS-8',
    title: 'is busy with the request in flight while it runs, and ready after',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.until('a running request', async () => (await runtime.status())['inFlight'] === 1);
      expectLike('the status while it runs', await runtime.status(), { state: 'busy', inFlight: 1 });
      await runtime.release('held');
      await answer;
      expectLike('the status after it', await runtime.status(), { state: 'ready', inFlight: 0 });
    },
  },
  {
    rule: 'STATUS-9',
    title: 'counts executions',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const before = Number((await runtime.status())['executions']);
      await runtime.invoke({ act: 'nothing' });
      await runtime.invoke({ act: 'nothing' });
      expectLike('executions after two requests', (await runtime.status())['executions'], before + 2);
    },
  },
  {
    rule: 'STATUS-10',
    title: 'notes when it became idle: at its load, then at the end of each request',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const { idleSinceUnixMs: atLoad } = await runtime.status();
      expectLike('idleSinceUnixMs after the load', atLoad, atLeast(1_500_000_000_000));
      await runtime.invoke({ act: 'wait', ms: 200 });
      const { idleSinceUnixMs: after } = await runtime.status();
      expectLike('idleSinceUnixMs after a request of 200 ms', after, atLeast(Number(atLoad) + 190));
    },
  },
  {
    rule: 'STATUS-11',
    title: 'lists the last hundred requests, newest last',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (let index = 0; index < 102; index++) {
        await runtime.invoke({ act: 'nothing' }, { 'x-request-id': `listed-${index}` });
      }
      const requests = (await runtime.status())['requests'] as { id: string; state: string }[];
      expectLike('how many requests are listed', requests.length, 100);
      expectLike('the oldest', requests[0], { id: 'listed-2', state: 'succeeded' });
      expectLike('the newest', requests.at(-1), { id: 'listed-101', state: 'succeeded' });
    },
  },
  {
    rule: 'STATUS-12',
    title: 'tells one request when asked for it',
    begins: 'loaded',
    run: async ({ runtime }) => {
      await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'asked-for' });
      await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'another' });
      const { body } = await runtime.get('/v1/status?requestId=asked-for');
      expectLike('the status', body, {
        requests: [{ id: 'asked-for', state: 'succeeded', endedAtUnixMs: atLeast(1) }],
      });
    },
  },
  {
    rule: 'STATUS-13',
    title: 'answers 404 RequestUnknown for a request that it does not know',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.get('/v1/status?requestId=nobody'), {
        status: 404,
        body: { code: 'RequestUnknown' },
      });
    },
  },
  {
    rule: 'STATUS-14',
    title: 'says in words why a request failed',
    begins: 'loaded',
    run: async ({ runtime }) => {
      await runtime.invoke({ act: 'throw', message: 'no more bricks' }, { 'x-request-id': 'failing' });
      const { body } = await runtime.get('/v1/status?requestId=failing');
      expectLike('the status', body, { requests: [{ id: 'failing', state: 'failed', exitReason: /no more bricks/ }] });
    },
  },
  {
    rule: 'STATUS-15',
    title: 'answers health and status while it loads, and 503 to probe=ready',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const load = runtime.load('waitsOnImport', { limits: { requestTimeoutMs: 10_000, initTimeoutMs: 2_000 } });
      await runtime.until('the state loading', async () => {
        const state = (await runtime.status())['state'];
        expectLike('the state', state, oneOf('standby', 'loading'));
        return state === 'loading';
      });
      expectLike('the probe', await runtime.get('/v1/health?probe=ready'), { status: 503, body: { state: 'loading' } });
      await load;
    },
  },
  {
    rule: 'STATUS-16',
    title: 'answers 200 to probe=ready in standby and ready',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      expectLike('the probe in standby', await runtime.get('/v1/health?probe=ready'), { status: 200 });
      await runtime.load('acts');
      expectLike('the probe in ready', await runtime.get('/v1/health?probe=ready'), {
        status: 200,
        body: { state: 'ready' },
      });
    },
  },
];

async function seqOf(runtime: { status(): Promise<Record<string, unknown>> }): Promise<number> {
  return Number((await runtime.status())['seq']);
}

export function expectSchema(what: string, schema: z.ZodType, body: unknown): void {
  const parsed = schema.safeParse(body);
  if (parsed.success) return;
  const problems = parsed.error.issues
    .map(({ path, message }) => `${path.join('.') || '(body)'}: ${message}`)
    .join('; ');
  throw new BrokenRule(what, 'a body of its schema', `${problems} in ${inWords(body)}`);
}
