import { describe, expect, it } from 'vitest';
import { abortable, AbortScope, aborted } from './abort.ts';
import { settle, VirtualClock } from './testing/fake-clock.ts';

describe('AbortScope', () => {
  it('aborts at its deadline with the reason it was given', async () => {
    const clock = new VirtualClock();
    using scope = new AbortScope();
    scope.abortAfter(clock, 100, () => new Error('too late'));
    await clock.advance(99);
    expect(scope.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(scope.signal.reason).toEqual(new Error('too late'));
  });

  it('counts a new deadline instead of the earlier one', async () => {
    const clock = new VirtualClock();
    using scope = new AbortScope();
    scope.abortAfter(clock, 100, () => new Error('first'));
    scope.abortAfter(clock, 300, () => new Error('second'));
    await clock.advance(299);
    expect(scope.signal.aborted).toBe(false);
    expect(clock.pendingTimers).toBe(1);
  });

  it('aborts with its parent, also with one that already has', () => {
    const parent = new AbortController();
    using before = new AbortScope(parent.signal);
    parent.abort('stop');
    using after = new AbortScope(parent.signal);
    expect([before.signal.reason, after.signal.reason]).toEqual(['stop', 'stop']);
  });

  it('leaves neither timer nor effect once it has ended', async () => {
    const clock = new VirtualClock();
    const parent = new AbortController();
    const scope = new AbortScope(parent.signal);
    scope.abortAfter(clock, 10, () => new Error('never'));
    scope.end();
    parent.abort();
    await clock.advance(20);
    expect(scope.signal.aborted).toBe(false);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('abortable', () => {
  it('gives up on a promise that never settles', async () => {
    const controller = new AbortController();
    const result = expect(abortable(new Promise(() => undefined), controller.signal)).rejects.toThrow('enough');
    controller.abort(new Error('enough'));
    await result;
  });

  it('passes the result on, and swallows what comes after an abort', async () => {
    const controller = new AbortController();
    expect(await abortable(Promise.resolve(5), controller.signal)).toBe(5);
    const late = Promise.withResolvers<void>();
    const result = expect(abortable(late.promise, controller.signal)).rejects.toThrow('enough');
    controller.abort(new Error('enough'));
    await result;
    late.reject(new Error('nobody listens any more'));
    await settle();
  });
});

describe('aborted', () => {
  it('resolves at once for a signal that has aborted, later for one that will', async () => {
    await aborted(AbortSignal.abort());
    const controller = new AbortController();
    const done = aborted(controller.signal);
    controller.abort();
    await done;
  });
});
