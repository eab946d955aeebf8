import path from 'node:path';
import type { ConformanceCase } from '../conformance-case.ts';
import { exactly, expectLike } from '../expectation.ts';

const KEPT = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL'];

export const ENVIRONMENT_CASES: ConformanceCase[] = [
  {
    rule: 'ENV-1',
    title: 'shows the function nothing but the claim, the kept names and PORT',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const container = { CONTAINER_SECRET: 'not for functions', LANG: 'C.UTF-8', TMPDIR: '/tmp' };
      const runtime = await startLoaded({ env: { GREETING: 'hello' } }, { env: container });
      const env = (await runtime.invoke({ act: 'env' })).body as Record<string, string>;
      const others = Object.keys(env).filter((name) => !KEPT.includes(name) && name !== 'GREETING' && name !== 'PORT');
      expectLike('names that should not be there', others, exactly([]));
      expectLike('the environment', env, { GREETING: 'hello', LANG: 'C.UTF-8', TMPDIR: '/tmp', PATH: /./ });
    },
  },
  {
    rule: 'ENV-2',
    title: 'has that environment in place while the module is imported',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const atImport = (await runtime.invoke({ act: 'importEnv' })).body;
      expectLike('the environment at import', atImport, { GREETING: 'hello', PORT: String(runtime.port) });
    },
  },
  {
    rule: 'ENV-3',
    title: 'lets the claim win over the container',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({ env: { HOME: '/home/of/the/claim' } });
      expectLike('the environment', (await runtime.invoke({ act: 'env' })).body, { HOME: '/home/of/the/claim' });
    },
  },
  {
    rule: 'ENV-4',
    title: 'sets PORT to the served port, whatever the claim says',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({ env: { PORT: '1' } });
      expectLike('the environment', (await runtime.invoke({ act: 'env' })).body, { PORT: String(runtime.port) });
    },
  },
  {
    rule: 'ENV-5',
    title: 'puts the time zone of the claim into effect',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({ env: { TZ: 'Asia/Tokyo' } });
      expectLike('the hour of Unix time 0', (await runtime.invoke({ act: 'hour' })).body, { hour: 9 });
    },
  },
  {
    rule: 'ENV-6',
    title: 'keeps the time zone of the container when the claim has none',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({}, { env: { TZ: 'America/Lima' } });
      expectLike('the hour of Unix time 0', (await runtime.invoke({ act: 'hour' })).body, { hour: 19 });
    },
  },
  {
    rule: 'ENV-7',
    title: 'carries any text in values',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const env = { UNICODE: 'žluťoučký 🐎 日本語', LINES: 'a\nb\r\n"c"', EMPTY: '', LONG: 'x'.repeat(32 * 1024) };
      const runtime = await startLoaded({ env });
      expectLike('the environment', (await runtime.invoke({ act: 'env' })).body, env);
    },
  },
  {
    rule: 'ENV-8',
    title: 'runs in the code folder',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const { path: codePath } = runtime.loadRequest('acts')['code'] as { path: string };
      const { cwd } = (await runtime.invoke({ act: 'where' })).body as { cwd: string };
      expectLike('the last folder of the working directory', path.basename(cwd), path.basename(codePath));
    },
  },
  {
    rule: 'ENV-9',
    title: 'has the interpreter and the module as arguments, nothing of the agent',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const { folder } = runtime.facts.functions.functions.acts;
      const { argv } = (await runtime.invoke({ act: 'where' })).body as { argv: string[] };
      expectLike('how many arguments there are', argv.length, 2);
      expectLike('the second argument', argv[1], new RegExp(`/${folder}/`));
    },
  },
  {
    rule: 'ENV-10',
    title: 'shows no trace of a rehearsal',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      expectLike('traces that user code finds', (await runtime.invoke({ act: 'traces' })).body, exactly([]));
      expectLike('the logs', (await runtime.get('/v1/logs')).body, { lines: exactly([]), truncated: false });
      expectLike('executions', (await runtime.status())['executions'], 1);
      expectLike('what the process wrote', runtime.facts.process?.output() ?? '', '');
    },
  },
];
