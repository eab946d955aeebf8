import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';

/** What V8 says of its own accord about a process that does nothing (docs/decisions/0026). */

const IDLE_COLLECTION = 'Mark-Compact (reduce)';
/** V8 waits for 8 s before it takes a process for idle. */
const IDLE_MS = 10_000;

const folder = fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url));
const runtime = (await describeRuntime(folder)) as PresentRuntime;
const [program = '', ...args] = runtime.command;
const telling: PresentRuntime = { ...runtime, command: [program, '--trace-gc', ...args] };

/** Makes garbage for a while, then nothing more. */
const BUSY = `let rows = [];
exports.handler = () => {
  for (let round = 0; round < 50; round++) rows = Array.from({ length: 20_000 }, (_, at) => ({ at, text: String(at) }));
  rows = [];
  return 'done';
};`;
const TAG = `exports.handler = () => ({ tag: require('node:v8').cachedDataVersionTag(), gc: typeof gc });`;

describe('the nodejs runtime, idle', () => {
  const started: StartedRuntime[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
  });

  it('is left as warm as it is while it is standby, and is looked after by V8 as any process once it is loaded', async () => {
    const each = await StartedRuntime.start(telling);
    started.push(each);
    await sleep(IDLE_MS);
    expect(each.output).toContain('Scavenge');
    expect(each.output).not.toContain(IDLE_COLLECTION);
    expect(await each.load({ handler: 'index.handler', files: { 'index.js': BUSY } })).toMatchObject({
      statusCode: 200,
    });
    expect((await each.invoke({})).bytes.toString()).toBe('done');
    await each.until('V8 to collect garbage', () => each.output.includes(IDLE_COLLECTION), 2 * IDLE_MS);
  }, 60_000);

  it('runs with the settings of V8 that any process has, from its import on', async () => {
    const each = await StartedRuntime.start(runtime);
    started.push(each);
    await each.load({ handler: 'index.handler', files: { 'index.js': TAG } });
    const { cachedDataVersionTag } = await import('node:v8');
    expect((await each.invoke({})).json).toEqual({ tag: cachedDataVersionTag(), gc: 'undefined' });
  });
});
