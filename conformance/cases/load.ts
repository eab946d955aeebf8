import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { Answer } from '../exchange.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { atLeast, expectLike, including } from '../expectation.ts';
import { expectSchema } from './status.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const REFUSED = { status: 409, body: { code: 'PodNotStandby' } };

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
  ['code.path', { code: { path: '', digest: DIGEST } }],
  ['code.digest', { code: { path: '/tmp', digest: 'md5:1' } }],
  ['env.KEY', { env: { KEY: 7 } }],
  ['env', { env: ['A=1'] }],
  ['env.1A', { env: { '1A': 'x' } }],
  ['service.region', { service: { region: {} } }],
  ['limits.requestTimeoutMs', { limits: { requestTimeoutMs: 0, initTimeoutMs: 1 } }],
  ['limits.initTimeoutMs', { limits: { requestTimeoutMs: 1, initTimeoutMs: 1.5 } }],
  ['limits.concurrency', { limits: { requestTimeoutMs: 1, initTimeoutMs: 1, concurrency: 0 } }],
];

export const LOAD_CASES: ConformanceCase[] = [
  {
    rule: 'LOAD-1',
    title: 'takes exactly one of twenty concurrent loads',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const claims = Array.from({ length: 20 }, (_, index) => `claim-${index}`);
      const answers = await Promise.all(claims.map((claimId) => runtime.load('acts', { claimId })));
      const winners = answers.filter(({ status }) => status === 200);
      const losers = answers.filter(({ status }) => status !== 200);
      expectLike('how many loads were taken', winners.length, 1);
      const { claimId } = (winners[0]?.body ?? {}) as { claimId?: string };
      expectLike('the claim in the status', (await runtime.status())['claimId'], claimId);
      const statuses = [...new Set(losers.map(({ status }) => status))];
      expectLike('the statuses of the others', statuses, [409]);
    },
  },
  {
    rule: 'LOAD-2',
    title: 'tells whoever comes too late which claim has the process',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.load('acts', { claimId: 'latecomer' }), {
        ...REFUSED,
        body: { code: 'PodNotStandby', message: /claim-1/ },
      });
    },
  },
  {
    rule: 'LOAD-3',
    title: 'gives the same answer to the same load again',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const first = await runtime.load('acts');
      for (let index = 0; index < 3; index++) {
        const again = await runtime.load('acts');
        expectLike('whether a repeated load got the bytes of the first', sameBody(again, first), true);
        expectLike('its status', again.status, 200);
      }
    },
  },
  {
    rule: 'LOAD-4',
    title: 'lets the same load, sent while it is loading, wait for the same answer',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answers = await Promise.all(Array.from({ length: 4 }, () => runtime.load('slowImport')));
      for (const answer of answers) {
        expectLike('the answer', answer.status, 200);
        expectLike('whether all got the same', sameBody(answer, answers[0]), true);
      }
    },
  },
  {
    rule: 'LOAD-5',
    title: 'refuses the same claim with another digest',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const request = runtime.loadRequest('acts');
      const code = { ...(request['code'] as object), digest: `sha256:${'b'.repeat(64)}` };
      expectLike('the answer', await runtime.send({ path: '/v1/load', body: { ...request, code } }), REFUSED);
    },
  },
  {
    rule: 'LOAD-6',
    title: 'refuses the same load with a lower fence',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.load('acts', { fence: 4 }), REFUSED);
    },
  },
  {
    rule: 'LOAD-7',
    title: 'remembers the highest fence that it has seen',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      expectLike('the answer to a higher fence', await runtime.load('acts', { fence: 7 }), { status: 200 });
      expectLike('the answer to the fence before it', await runtime.load('acts', { fence: 6 }), REFUSED);
      expectLike('the fence in the status', (await runtime.status())['fence'], 7);
    },
  },
  {
    rule: 'LOAD-8',
    title: 'names a wrong field, whichever it is',
    begins: 'standby',
    run: async ({ runtime }) => {
      for (const [field, changes] of WRONG_FIELDS) {
        const answer = await runtime.load('acts', changes);
        expectLike(`the answer to a load with ${JSON.stringify(changes)}`, answer, {
          status: 400,
          body: { code: 'BadRequest', details: including({ field, message: /./ }) },
        });
      }
    },
  },
  {
    rule: 'LOAD-9',
    title: 'names every wrong field of one load',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answer = await runtime.load('acts', { claimId: 7, kind: 'x', env: { A: null } });
      const named = ['claimId', 'kind', 'env.A'].map((field) => ({ field }));
      expectLike('the answer', answer, { status: 400, body: { details: including(...named) } });
    },
  },
  {
    rule: 'LOAD-10',
    title: 'refuses a field that the contract does not know',
    begins: 'standby',
    run: async ({ runtime }) => {
      const expected = { status: 400, body: { details: including({ field: 'extra' }) } };
      expectLike('the answer', await runtime.load('acts', { extra: true }), expected);
    },
  },
  {
    rule: 'LOAD-11',
    title: 'answers a body that is not JSON with 400 BadJson',
    begins: 'standby',
    run: async ({ runtime }) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await runtime.send({ path: '/v1/load', body: '{"claimId": ', headers });
      expectLike('the answer', answer, { status: 400, body: { code: 'BadJson' } });
    },
  },
  {
    rule: 'LOAD-12',
    title: 'answers another content type with 415',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answer = await runtime.send({ path: '/v1/load', body: '{}', headers: { 'content-type': 'text/plain' } });
      expectLike('the answer', answer, { status: 415, body: { code: 'UnsupportedMediaType' } });
    },
  },
  {
    rule: 'LOAD-13',
    title: 'answers a body above 2 MiB with 413',
    begins: 'standby',
    run: async ({ runtime }) => {
      const headers = { 'content-type': 'application/json' };
      const body = `"${'x'.repeat(3 * 1024 * 1024)}"`;
      const answer = await runtime.send({ path: '/v1/load', body, headers });
      expectLike('the answer', answer, { status: 413, body: { code: 'BodyTooLarge' } });
    },
  },
  {
    rule: 'LOAD-14',
    title: 'answers JSON that is not an object with 400 BadRequest',
    begins: 'standby',
    run: async ({ runtime }) => {
      for (const body of ['[]', 'null', '7', '"text"', '{}']) {
        const answer = await runtime.send({ path: '/v1/load', body, headers: { 'content-type': 'application/json' } });
        expectLike(`the answer to ${body}`, answer, { status: 400, body: { code: 'BadRequest' } });
      }
    },
  },
  {
    rule: 'LOAD-15',
    title: 'refuses a load for another runtime with 412, naming both',
    begins: 'standby',
    run: async ({ runtime }) => {
      const { name, version } = runtime.facts.runtime;
      const answer = await runtime.load('acts', { runtime: { name, version: '1.0-other' } });
      expectLike('the answer', answer, { status: 412, body: { code: 'RuntimeMismatch', message: /1\.0-other/ } });
      expectLike('the answer', answer, { body: { message: new RegExp(`${name}.*${version.replaceAll('.', '\\.')}`) } });
    },
  },
  {
    rule: 'LOAD-16',
    title: 'refuses a code path that is not a folder',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answer = await runtime.load('acts', { code: { path: '/no/such/folder', digest: DIGEST } });
      expectLike('the answer', answer, { status: 400, body: { details: including({ field: 'code.path' }) } });
    },
  },
  {
    rule: 'LOAD-17',
    title: 'is standby as before after loads that it refused, and takes the next good one',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const { name } = runtime.facts.runtime;
      await runtime.load('acts', { claimId: 7 });
      await runtime.load('acts', { claimId: 'another', runtime: { name, version: 'other' } });
      await runtime.load('acts', { claimId: 'another', code: { path: '/no/such/folder', digest: DIGEST } });
      expectLike('the state', (await runtime.status())['state'], 'standby');
      expectLike('the answer to a good load', await runtime.load('acts'), {
        status: 200,
        body: { claimId: 'claim-1' },
      });
    },
  },
  {
    rule: 'LOAD-18',
    title: 'answers a load as the schema says, with the epoch of the process and the served port',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const { epoch } = await runtime.status();
      const answer = await runtime.load('acts');
      expectSchema('the reply to a load', loadReplySchema, answer.body);
      expectLike('the reply', answer.body, {
        state: 'ready',
        claimId: 'claim-1',
        epoch,
        ...(runtime.facts.port !== undefined && { port: runtime.facts.port }),
      });
    },
  },
  {
    rule: 'LOAD-19',
    title: 'tells how long the import and the whole load took',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const { body } = await runtime.load('slowImport');
      const { timings } = (body ?? {}) as { timings?: { importMs: number; totalMs: number } };
      expectLike('importMs of an import of 300 ms', timings?.importMs, atLeast(200));
      expectLike('totalMs', timings?.totalMs, atLeast(timings?.importMs ?? 0));
    },
  },
  {
    rule: 'LOAD-20',
    title: 'answers 500 ListenFailed when the served port is taken, and ends',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start();
      const squatter = await squat(runtime.port);
      // it listens before its load: that is LIFE-2
      if (squatter === undefined) return;
      try {
        expectLike('the answer', await runtime.load('acts'), { status: 500, body: { code: 'ListenFailed' } });
        await runtime.expectEnd(1);
        runtime.expectTermination({ reason: 'ListenFailed' });
      } finally {
        squatter.close();
      }
    },
  },
];

const sameBody = (one: Answer, other: Answer | undefined): boolean =>
  other !== undefined && one.bytes.equals(other.bytes);

function squat(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
