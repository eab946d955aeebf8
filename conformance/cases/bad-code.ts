import type { CaseTools, ConformanceCase } from '../conformance-case.ts';
import type { Answer } from '../exchange.ts';
import { atMost, containing, expectLike, not } from '../expectation.ts';
import type { FunctionName } from '../functions.ts';
import type { Instance } from '../instance.ts';

const SHORT = { limits: { requestTimeoutMs: 10_000, initTimeoutMs: 400 } };

/** Code that cannot be loaded. */
export const BAD_CODE_CASES: ConformanceCase[] = [
  {
    rule: 'CODE-1',
    title: 'answers a module that throws with 422, phase import and its message',
    begins: 'fresh',
    run: async (tools) => {
      const { answer } = await loadOf(tools, 'throwsOnImport');
      expectLike('the answer', answer, userCodeError(/no database today/));
    },
  },
  {
    rule: 'CODE-2',
    title: 'gives the stack of the user, without frames of the agent',
    begins: 'fresh',
    run: async (tools) => {
      const { answer, runtime } = await loadOf(tools, 'throwsOnImport');
      const { folder } = runtime.facts.functions.functions.throwsOnImport;
      expectLike('the stack', answer.body, { stack: new RegExp(folder) });
      expectLike('the stack', answer.body, { stack: not(/bootstrap\/|warmpool[_-]agent/) });
    },
  },
  {
    rule: 'CODE-3',
    title: 'answers a module that does not parse, naming the file',
    begins: 'fresh',
    run: async (tools) => {
      const { answer } = await loadOf(tools, 'syntaxError');
      expectLike('the answer', answer, userCodeError(/./));
      const { message, stack = '' } = answer.body as { message: string; stack?: string };
      expectLike('message and stack', `${message}\n${stack}`, /index|Index/);
    },
  },
  {
    rule: 'CODE-4',
    title: 'answers a module that ends the process with code 3 while it is imported',
    begins: 'fresh',
    run: async (tools) => {
      const { answer } = await loadOf(tools, 'exitsOnImport');
      expectLike('the answer', answer, userCodeError(/exit\(3\)/));
    },
  },
  {
    rule: 'CODE-5',
    title: 'answers a module that ends the process with code 0 while it is imported',
    begins: 'fresh',
    run: async (tools) => {
      const { answer, runtime } = await loadOf(tools, 'exitsWithZeroOnImport');
      expectLike('the answer', answer, userCodeError(/exit\(0\)/));
      await runtime.expectEnd(1);
    },
  },
  {
    rule: 'CODE-6',
    title: 'answers an import that waits for ever when its time is up, naming the limit',
    begins: 'fresh',
    run: async (tools) => {
      const startedAt = performance.now();
      const { answer } = await loadOf(tools, 'waitsOnImport', SHORT);
      expectLike('the answer', answer, {
        status: 504,
        body: { code: 'InitTimeout', phase: 'import', message: /400 ms/ },
      });
      expectLike('how long it took, in ms', performance.now() - startedAt, atMost(10_000));
    },
  },
  {
    rule: 'CODE-7',
    title: 'ends an import that loops for ever, with an answer or with the reason on file',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answer = await runtime.load('spinsOnImport', SHORT).catch(() => undefined);
      await runtime.expectGone();
      runtime.expectTermination({ reason: 'InitTimeout' });
      if (answer !== undefined) expectLike('the answer', answer, { status: 504, body: { code: 'InitTimeout' } });
    },
  },
  {
    rule: 'CODE-8',
    title: 'gives an import that is slow, but in time, its time',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      expectLike('the answer to the load', await runtime.load('slowImport'), { status: 200 });
      expectLike('the answer of the handler', await runtime.invoke({}), { status: 200, body: { ok: true } });
    },
  },
  {
    rule: 'CODE-9',
    title: 'answers an import that is too slow with 504',
    begins: 'fresh',
    run: async (tools) => {
      const limits = { requestTimeoutMs: 1_000, initTimeoutMs: 100 };
      const { answer } = await loadOf(tools, 'slowImport', { limits });
      expectLike('the answer', answer, { status: 504, body: { code: 'InitTimeout' } });
    },
  },
  {
    rule: 'CODE-10',
    title: 'names the export that is missing and those that exist',
    begins: 'fresh',
    run: async (tools) => {
      const { answer, runtime } = await loadOf(tools, 'handlerMissing');
      const { handler } = runtime.facts.functions.functions.handlerMissing;
      expectLike('the answer', answer, notFound(containing(handler, 'other')));
    },
  },
  {
    rule: 'CODE-11',
    title: 'says of an export that it is not a function',
    begins: 'fresh',
    run: async (tools) => {
      const { answer } = await loadOf(tools, 'handlerNotFunction');
      expectLike('the answer', answer, notFound(/not a function|not callable/));
    },
  },
  {
    rule: 'CODE-12',
    title: 'names the module that is missing',
    begins: 'fresh',
    run: async (tools) => {
      const { answer, runtime } = await loadOf(tools, 'moduleMissing');
      expectLike('the answer', answer, notFound(containing(runtime.facts.functions.functions.moduleMissing.handler)));
    },
  },
  {
    rule: 'CODE-13',
    title: 'ends with code 1 after a failed load',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime } = await loadOf(tools, 'handlerMissing');
      await runtime.expectEnd(1);
    },
  },
  {
    rule: 'CODE-14',
    title: 'leaves the code and message of the answer in termination.json',
    begins: 'fresh',
    run: async (tools) => {
      const { answer, runtime } = await loadOf(tools, 'throwsOnImport');
      await runtime.expectGone();
      const { code, message } = answer.body as { code: string; message: string };
      runtime.expectTermination({ reason: code, message });
    },
  },
  {
    rule: 'CODE-15',
    title: 'gives everyone who waits for a failing load the same answer',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answers = await Promise.all([1, 2, 3].map(() => runtime.load('waitsOnImport', SHORT)));
      for (const answer of answers) expectLike('an answer', answer, { status: 504, body: answers[0]?.body });
    },
  },
];

async function loadOf(
  { start }: CaseTools,
  name: FunctionName,
  changes: Record<string, unknown> = {},
): Promise<{ answer: Answer; runtime: Instance }> {
  const runtime = await start();
  return { answer: await runtime.load(name, changes), runtime };
}

const userCodeError = (message: unknown) => ({
  status: 422,
  body: { code: 'UserCodeError', phase: 'import', message },
});
const notFound = (message: unknown) => ({ status: 422, body: { code: 'HandlerNotFound', message } });
