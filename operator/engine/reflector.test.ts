import { afterEach, describe, expect, it } from 'vitest';
import { KubeError, type KubeObject } from './kube-client.ts';
import { Reflector, type ReflectorReport } from './reflector.ts';
import { ObjectStore } from './store.ts';
import { settle, VirtualClock } from './testing/fake-clock.ts';
import { anObject, expiredError, networkError, ScriptedClient } from './testing/scripted-client.ts';

const PODS = { group: '', version: 'v1', plural: 'pods', kind: 'Pod' };
const running: { stop: AbortController; ended: Promise<void> }[] = [];

function aReflector(client: ScriptedClient) {
  const clock = new VirtualClock();
  const reports: ReflectorReport[] = [];
  const errors: unknown[] = [];
  const store = new ObjectStore<KubeObject>({ onError: (error) => errors.push(error) });
  const reflector = new Reflector(
    { client, clock, random: () => 0.5, store, report: (report) => reports.push(report) },
    { resource: PODS },
  );
  const stop = new AbortController();
  const start = (): void => void running.push({ stop, ended: reflector.run(stop.signal) });
  return { clock, reports, store, reflector, stop, start, errors };
}

function names(store: ObjectStore<KubeObject>): string[] {
  return store
    .list()
    .map((object) => object.metadata.name)
    .sort();
}

describe('Reflector', () => {
  afterEach(async () => {
    for (const { stop, ended } of running.splice(0)) {
      stop.abort();
      await ended;
    }
  });

  it('lists page by page, then watches from the version of the list', async () => {
    const client = new ScriptedClient();
    client.answerList = ({ continue: token }) =>
      token === undefined
        ? { items: [anObject('a', '3')], resourceVersion: '10', continue: 'more' }
        : { items: [anObject('b', '4')], resourceVersion: '10' };
    const { store, reflector, start } = aReflector(client);
    start();
    await settle();
    expect(names(store)).toEqual(['a', 'b']);
    expect(reflector.hasSynced).toBe(true);
    expect(client.lists.map(({ limit, continue: token }) => [limit, token])).toEqual([
      [500, undefined],
      [500, 'more'],
    ]);
    expect(client.lastWatch.options).toMatchObject({ resourceVersion: '10', timeoutSeconds: 450 });
  });

  it('starts the list over when it expires between pages, the third time unpaged', async () => {
    const client = new ScriptedClient();
    client.answerList = ({ limit, continue: token }) => {
      if (token !== undefined) throw expiredError();
      if (limit === undefined) return { items: [anObject('whole', '3')], resourceVersion: '12' };
      return { items: [anObject('part', '3')], resourceVersion: '10', continue: 'more' };
    };
    const { store, start } = aReflector(client);
    start();
    await settle();
    expect(names(store)).toEqual(['whole']);
    expect(client.lists).toHaveLength(5);
  });

  it('goes on from the last event or bookmark after a broken connection, without a list', async () => {
    const client = new ScriptedClient();
    const { clock, store, start, reports } = aReflector(client);
    start();
    await settle();
    client.lastWatch.push({ type: 'ADDED', object: anObject('a', '5') });
    client.lastWatch.push({ type: 'BOOKMARK', resourceVersion: '8' });
    await settle();
    client.lastWatch.fail(networkError());
    await clock.advance(30_000);
    expect(client.lists).toHaveLength(1);
    expect(client.watches.map(({ options }) => options.resourceVersion)).toEqual(['1', '8']);
    expect(names(store)).toEqual(['a']);
    expect(reports.at(-1)).toMatchObject({ type: 'failed', during: 'watch' });
  });

  it('waits longer after each failure in a row, at most 30 s, and starts small again once a watch worked', async () => {
    const client = new ScriptedClient();
    let isBroken = true;
    client.answerWatch = (watch) => isBroken && watch.fail(networkError());
    const { clock, start, reports } = aReflector(client);
    start();
    const delays = (): number[] => reports.flatMap((report) => (report.type === 'failed' ? [report.retryInMs] : []));
    await clock.advance(200_000);
    expect(delays().slice(0, 4)).toEqual([600, 1200, 2400, 4800]);
    expect(Math.max(...delays())).toBe(22_500);
    isBroken = false;
    await clock.advance(30_000);
    client.lastWatch.push({ type: 'BOOKMARK', resourceVersion: '2' });
    await settle();
    client.lastWatch.fail(networkError());
    await settle();
    expect(delays().at(-1)).toBe(600);
  });

  it('lists again at once when its version is too old, and removes what has gone meanwhile', async () => {
    const client = new ScriptedClient();
    client.answerList = (_, call) =>
      call === 1
        ? { items: [anObject('a', '1'), anObject('b', '2')], resourceVersion: '2' }
        : { items: [anObject('b', '2')], resourceVersion: '9' };
    const { clock, store, start } = aReflector(client);
    start();
    await settle();
    client.lastWatch.push({ type: 'BOOKMARK', resourceVersion: '3' });
    await settle();
    client.lastWatch.fail(expiredError());
    await clock.advance(0);
    expect(names(store)).toEqual(['b']);
    expect(client.lastWatch.options.resourceVersion).toBe('9');
  });

  it('lists at once too when the server is back after an outage and knows its version no longer', async () => {
    const client = new ScriptedClient();
    client.answerWatch = (watch) => watch.fail(networkError());
    const { clock, start, reports } = aReflector(client);
    start();
    await clock.advance(40_000);
    client.answerWatch = (watch) => client.lists.length === 1 && watch.fail(expiredError());
    await clock.advance(23_000);
    expect(reports).toContainEqual({ type: 'failed', during: 'watch', error: expiredError(), retryInMs: 0 });
    expect(client.lists).toHaveLength(2);
  });

  it('does not spin when every watch is answered with 410', async () => {
    const client = new ScriptedClient();
    client.answerWatch = (watch) => watch.fail(expiredError());
    const { clock, start } = aReflector(client);
    start();
    await clock.advance(60_000);
    expect(client.lists.length).toBeLessThan(12);
  });

  it('does not spin when every watch is closed at once', async () => {
    const client = new ScriptedClient();
    client.answerWatch = (watch) => watch.close();
    const { clock, start } = aReflector(client);
    start();
    await clock.advance(60_000);
    expect(client.watches.length).toBeLessThan(12);
    expect(client.lists).toHaveLength(1);
  });

  it('comes back at once when the server ends a watch that worked', async () => {
    const client = new ScriptedClient();
    const { start } = aReflector(client);
    start();
    await settle();
    client.lastWatch.push({ type: 'BOOKMARK', resourceVersion: '4' });
    client.lastWatch.close();
    await settle();
    expect(client.watches.map(({ options }) => options.resourceVersion)).toEqual(['1', '4']);
  });

  it('takes a silent watch for dead, watches anew, and lists when that one is silent too', async () => {
    const client = new ScriptedClient();
    const { clock, start, reflector, reports } = aReflector(client);
    start();
    await clock.advance(89_000);
    expect(client.watches).toHaveLength(1);
    await clock.advance(1_000);
    expect(client.watches).toHaveLength(2);
    expect(client.watches[0]?.options.signal.aborted).toBe(true);
    expect(client.watches[0]?.isReturned).toBe(true);
    expect(client.lists).toHaveLength(1);
    await clock.advance(90_000);
    expect(client.lists).toHaveLength(2);
    expect(reflector.lastContactUnixMs()).toBe(clock.now());
    expect(reports.filter(({ type }) => type === 'stalled')).toHaveLength(2);
  });

  it('lets a watch live as long as bookmarks come, up to a little past the time the server was given', async () => {
    const client = new ScriptedClient();
    const { clock, start } = aReflector(client);
    start();
    for (let minute = 1; minute <= 7; minute++) {
      await clock.advance(60_000);
      client.lastWatch.push({ type: 'BOOKMARK', resourceVersion: String(minute) });
    }
    await clock.advance(34_000);
    expect(client.watches).toHaveLength(1);
    await clock.advance(2_000);
    expect(client.watches).toHaveLength(2);
    expect(client.lastWatch.options.resourceVersion).toBe('7');
  });

  it('keeps trying when the first list fails, stays away as long as the server asks, and syncs in the end', async () => {
    const client = new ScriptedClient();
    client.answerList = (_, call) => {
      if (call === 1) throw new KubeError(429, 'TooManyRequests', 'slow down', 7);
      return { items: [anObject('a', '1')], resourceVersion: '1' };
    };
    const { clock, start, reflector, stop } = aReflector(client);
    start();
    let isSynced = false;
    const synced = reflector.waitForSync(stop.signal, 60_000).then(() => (isSynced = true));
    await clock.advance(6_900);
    expect(isSynced).toBe(false);
    await clock.advance(200);
    await synced;
    expect(reflector.hasSynced).toBe(true);
  });

  it('says what was not listed in time to those who wait for it', async () => {
    const client = new ScriptedClient();
    client.answerList = () => new Promise(() => undefined);
    const { clock, start, reflector, stop } = aReflector(client);
    start();
    const synced = expect(reflector.waitForSync(stop.signal, 5_000)).rejects.toThrow(
      'pods were not listed within 5000 ms',
    );
    await clock.advance(5_000);
    await synced;
  });

  it('lists again when asked to, also from a listener in the middle of an event', async () => {
    const client = new ScriptedClient();
    const { start, reflector, store } = aReflector(client);
    store.onChange((_, next) => next?.metadata.name === 'odd' && reflector.relist());
    start();
    await settle();
    reflector.relist();
    await settle();
    expect(client.lists).toHaveLength(2);
    client.lastWatch.push({ type: 'ADDED', object: anObject('odd', '5') });
    await settle();
    expect(client.lists).toHaveLength(3);
    expect(store.size).toBe(0);
  });

  it('stops in the middle of a list, of a watch and of a pause, and leaves no timer behind', async () => {
    for (const stage of ['list', 'watch', 'pause']) {
      const client = new ScriptedClient();
      if (stage === 'list') client.answerList = () => new Promise(() => undefined);
      if (stage === 'pause') client.answerWatch = (watch) => watch.fail(networkError());
      const { clock, reflector, stop } = aReflector(client);
      const ended = reflector.run(stop.signal);
      await clock.advance(100);
      stop.abort(new Error('shutting down'));
      await ended;
      await settle();
      expect(clock.pendingTimers, stage).toBe(0);
    }
  });
});
