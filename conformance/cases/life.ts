import { connect } from 'node:net';
import { existsSync } from 'node:fs';
import type { ConformanceCase } from '../conformance-case.ts';
import { expectLike } from '../expectation.ts';

export const LIFE_CASES: ConformanceCase[] = [
  {
    rule: 'LIFE-1',
    title: 'shows its socket only when standby is reached, and answers on it at once',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start({ returnsEarly: true });
      const { control } = runtime.facts;
      const socketPath = 'socketPath' in control ? control.socketPath : '';
      await runtime.until('the socket', () => existsSync(socketPath), 30_000);
      const first = await runtime.get('/v1/health?probe=ready').catch((error: Error) => error.message);
      expectLike('the first answer after the socket appeared', first, { status: 200, body: { state: 'standby' } });
    },
  },
  {
    rule: 'LIFE-2',
    title: 'listens on the served port only after a load',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const before = runtime.facts.port === undefined ? false : await connects(runtime.facts.port);
      expectLike('whether the served port takes connections before the load', before, false);
      await runtime.load('acts');
      expectLike('whether it takes them after the load', await connects(runtime.port), true);
    },
  },
  {
    rule: 'LIFE-3',
    title: 'refuses to boot with a wrong setting: exit code 2 and a sentence that names it',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start({ env: { WARMPOOL_PORT: 'eighty' }, returnsEarly: true });
      await runtime.expectEnd(2);
      await runtime.until(
        'a sentence that names WARMPOOL_PORT',
        () => output(runtime).includes('WARMPOOL_PORT'),
        2_000,
      );
    },
  },
  {
    rule: 'LIFE-4',
    title: 'refuses to boot when a module to pre-import is missing: code 1, BootFailed, the module named',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start({ env: { WARMPOOL_PRE_IMPORT: 'no_such_module_here' }, returnsEarly: true });
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'BootFailed', message: /no_such_module_here/ });
    },
  },
  {
    rule: 'LIFE-5',
    title: 'serves without a rehearsal too',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({}, { env: { WARMPOOL_REHEARSE: '0' } });
      expectLike('the answer', await runtime.invoke({ act: 'respond', reply: 7 }), { status: 200, body: 7 });
    },
  },
  {
    rule: 'LIFE-6',
    title: 'ends when its lifeline does, standby or loaded',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start, startLoaded }) => {
      const [standby, loaded] = await Promise.all([start(), startLoaded()]);
      standby.facts.process?.endLifeline();
      loaded.facts.process?.endLifeline();
      await Promise.all([standby.exited(), loaded.exited()]);
    },
  },
  {
    rule: 'LIFE-7',
    title: 'ends at once on SIGTERM while standby, with 0 and without termination.json',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start();
      runtime.facts.process?.signal('SIGTERM');
      await runtime.expectEnd(0);
      runtime.expectTermination(undefined);
    },
  },
  {
    rule: 'LIFE-8',
    title: 'finishes running and waiting requests on SIGTERM, and exits with 0',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const running = runtime.invoke({ act: 'wait', ms: 1_000 });
      await runtime.untilInFlight(1);
      const waiting = runtime.invoke({ act: 'wait', ms: 10 });
      await runtime.untilInFlight(2);
      runtime.facts.process?.signal('SIGTERM');
      expectLike('the answer to the running request', await running, { status: 200, body: { waited: 1_000 } });
      expectLike('the answer to the waiting request', await waiting, { status: 200, body: { waited: 10 } });
      await runtime.expectEnd(0);
    },
  },
  {
    rule: 'LIFE-9',
    title: 'answers new requests with 410 while it drains, and says so in its state',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const running = runtime.invoke({ act: 'wait', ms: 1_500 });
      await runtime.untilInFlight(1);
      runtime.facts.process?.signal('SIGTERM');
      await runtime.untilState('draining');
      expectLike('the answer to a new request', await runtime.invoke({ act: 'nothing' }), {
        status: 410,
        body: { code: 'Draining' },
      });
      await running.catch(() => {});
    },
  },
  {
    rule: 'LIFE-10',
    title: 'ends at once on a second signal',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      runtime.invoke({ act: 'stubborn', ms: 60_000 }).catch(() => {});
      await runtime.untilInFlight(1);
      runtime.facts.process?.signal('SIGTERM');
      await runtime.untilState('draining');
      const startedAt = performance.now();
      runtime.facts.process?.signal('SIGTERM');
      await runtime.exited();
      expectLike('whether it ended within 5 s', performance.now() - startedAt < 5_000, true);
    },
  },
];

function output(runtime: { facts: { process?: { output(): string } } }): string {
  return runtime.facts.process?.output() ?? '';
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
