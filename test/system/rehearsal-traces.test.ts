import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';

/** User code cannot tell whether its process was rehearsed: everything that a module can enumerate is the same with and without. */

const bootstrap = path.join(import.meta.dirname, '../../runtime-agent/bootstrap');
const probe = (file: string): string => readFileSync(path.join(import.meta.dirname, 'rehearsal-probes', file), 'utf8');
const PROBES = { nodejs: 'probe.js', python: 'probe.py' };

interface Seen {
  /** By what it is, everything that the module found while it was imported. */
  found: Record<string, unknown>;
  random: number[];
}

describe.each(Object.entries(PROBES))('%s', async (name, file) => {
  const runtime = await describeRuntime(path.join(bootstrap, name));
  if ('missing' in runtime) {
    console.warn(`the rehearsal of ${name} is NOT tested on this machine: ${runtime.missing}`);
    it.skip(`needs ${name}`);
    return;
  }
  const started: StartedRuntime[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
  });
  async function seenIn(isRehearsed: boolean): Promise<Seen> {
    const each = await StartedRuntime.start(runtime as Exclude<typeof runtime, { missing: string }>, {
      env: { WARMPOOL_REHEARSE: isRehearsed ? '1' : '0' },
    });
    started.push(each);
    const load = await each.load({ handler: 'probe.handler', files: { [file]: probe(file) } });
    expect(load).toMatchObject({ statusCode: 200 });
    const answer = await each.invoke({}, { 'x-request-id': 'probe' });
    // what differs between any two processes
    const text = answer.bytes.toString().replaceAll(each.folder, '<folder>').replaceAll(String(each.port), '<port>');
    return JSON.parse(text) as Seen;
  }

  it('finds the same in a rehearsed process as in one that was not', async () => {
    const [rehearsed, fresh] = await Promise.all([seenIn(true), seenIn(false)]);
    expect(Object.keys(fresh.found).length).toBeGreaterThan(10);
    for (const [what, found] of Object.entries(fresh.found)) expect.soft(rehearsed.found[what], what).toEqual(found);
  });

  it('finds another random state in each rehearsed process', async () => {
    const [one, other] = await Promise.all([seenIn(true), seenIn(true)]);
    expect(one.random.length).toBeGreaterThan(0);
    for (const [index, value] of one.random.entries()) expect(value).not.toBe(other.random[index]);
  });
});
