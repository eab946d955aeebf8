import { describe, expect, it } from 'vitest';
import {
  agentKillRequestSchema,
  CONTRACT_VERSION,
  ENV_ALLOW_LIST,
  loadRequestSchema,
} from '@warmpool/protocol/runtime-agent-api.ts';
import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { CONTRACT_VERSION as OWN_CONTRACT_VERSION } from './contract-version.mjs';
import { AgentError } from './errors.mjs';
import { KEPT_ENV_NAMES } from './identity.mjs';
import { parseKillRequest, parseLoadRequest } from './load-request.mjs';

const goodLoad = {
  claimId: 'claim-1',
  fence: 0,
  function: { name: 'orders/checkout', version: '1.0.0+b7', tenant: 'acme' },
  runtime: { name: 'nodejs', version: '24' },
  kind: 'handler',
  handler: 'src/index.handler',
  code: { path: '/code', digest: `sha256:${'a'.repeat(64)}` },
  env: { A: '1', _b: '' },
  service: { region: 'north' },
  limits: { requestTimeoutMs: 1, initTimeoutMs: 1, concurrency: 1 },
};

/** Values of every kind that a client may get wrong, tried in each field. */
const odd: unknown[] = [
  undefined,
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  ' ',
  'a',
  'A',
  '-a',
  'a-',
  'a/b',
  '../a',
  'a/../b',
  'a/..',
  '..',
  'a..b',
  '/a',
  './a',
  '@a/b.c',
  'a b',
  'a\n',
  'ž',
  '\0',
  'sha256:00',
  'x'.repeat(63),
  'x'.repeat(64),
  'x'.repeat(129),
  'x'.repeat(254),
  'x'.repeat(257),
  'x'.repeat(5000),
  'x'.repeat(33 * 1024),
  [],
  ['a'],
  {},
  { a: 'b' },
  { 'a b': 'c' },
  { '1': '2' },
  { A: 1 },
  { A: 'nul\0' },
  { A: 'x'.repeat(33 * 1024) },
  { [`A${'x'.repeat(256)}`]: '' },
  Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`K${index}`, ''])),
  Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`K${index}`, ''])),
  Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`K${index}`, 'x'.repeat(30 * 1024)])),
  'handler',
  'http',
  2 ** 53,
  60_000,
  60_001,
  'graceful',
  'force',
  'worker',
  'file.with.dots',
  'x'.repeat(256),
  'x'.repeat(253),
  'x'.repeat(128),
];

const paths = [
  ['claimId'],
  ['fence'],
  ['function'],
  ['function', 'name'],
  ['function', 'version'],
  ['function', 'tenant'],
  ['function', 'extra'],
  ['runtime'],
  ['runtime', 'name'],
  ['runtime', 'version'],
  ['kind'],
  ['handler'],
  ['code'],
  ['code', 'path'],
  ['code', 'digest'],
  ['env'],
  ['env', 'KEY'],
  ['service'],
  ['service', 'key'],
  ['limits'],
  ['limits', 'requestTimeoutMs'],
  ['limits', 'initTimeoutMs'],
  ['limits', 'concurrency'],
  ['extra'],
];

describe('the checks of /v1/load', () => {
  it('accept and refuse what the schema does, and name the same field', () => {
    const bodies: unknown[] = [goodLoad, ...odd];
    for (const path of paths) for (const value of odd) bodies.push(withValue(goodLoad, path, value));
    for (const body of bodies) {
      const schema = loadRequestSchema.safeParse(body);
      const byHand = problemFields(() => parseLoadRequest(body));
      const label = JSON.stringify(body)?.slice(0, 300);
      expect.soft(byHand.length === 0, label).toBe(schema.success);
      if (!schema.success) {
        const named = fieldProblems(schema.error).map(({ field }) => field);
        expect
          .soft(
            named.some((field) => byHand.some((each) => isSameField(each, field))),
            `${label} ${named.join()} ${byHand.join()}`,
          )
          .toBe(true);
      }
    }
  });

  it('give the request back as it came', () => {
    expect(parseLoadRequest(goodLoad)).toEqual(loadRequestSchema.parse(goodLoad));
  });
});

describe('the checks of /v1/kill', () => {
  it('accept and refuse what the schema does, with the same defaults', () => {
    const bodies: unknown[] = [{}, ...odd];
    for (const field of ['requestId', 'mode', 'graceMs', 'reason', 'extra']) {
      for (const value of odd) bodies.push({ [field]: value });
    }
    for (const body of bodies.map(asReceived)) {
      const schema = agentKillRequestSchema.safeParse(body);
      const byHand = problemFields(() => parseKillRequest(body));
      const label = JSON.stringify(body)?.slice(0, 300);
      expect.soft(byHand.length === 0, label).toBe(schema.success);
      if (schema.success) expect.soft(parseKillRequest(body), label).toEqual(schema.data);
    }
  });
});

it('the contract version is that of the protocol', () => {
  expect(OWN_CONTRACT_VERSION).toBe(CONTRACT_VERSION);
});

it('the kept names of the environment are those of the contract', () => {
  expect(KEPT_ENV_NAMES).toEqual(ENV_ALLOW_LIST);
});

function problemFields(parse: () => unknown): string[] {
  try {
    parse();
    return [];
  } catch (error) {
    if (error instanceof AgentError) return (error.facts.details ?? []).map(({ field }) => field);
    throw error;
  }
}

/** The schema names a record for a bad key in it, where the checks by hand name the key. */
function isSameField(byHand: string, bySchema: string): boolean {
  return byHand === bySchema || byHand.startsWith(`${bySchema}.`) || bySchema.startsWith(`${byHand}.`);
}

/** JSON carries no `undefined`. */
function asReceived(body: unknown): unknown {
  const text = JSON.stringify(body) as string | undefined;
  return text === undefined ? undefined : JSON.parse(text);
}

function withValue(body: object, [head = '', ...rest]: string[], value: unknown): object {
  const inner = (body as Record<string, unknown>)[head];
  return { ...body, [head]: rest.length === 0 ? value : withValue(inner ?? {}, rest, value) };
}
