import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from './testing/fake-clock.ts';
import { RecordingMetrics } from './testing/recording.ts';
import { WorkQueue } from './work-queue.ts';

function aQueue() {
  const clock = new VirtualClock();
  const metrics = new RecordingMetrics();
  const queue = new WorkQueue({ clock, random: () => 1, metrics }, { name: 'pools' });
  return { clock, metrics, queue };
}

describe('WorkQueue', () => {
  it('hands a key out once however often it was added, in the order of the first adds', () => {
    const { queue } = aQueue();
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect([queue.take(), queue.take(), queue.take(), queue.take()]).toEqual(['a', 'b', 'c', undefined]);
  });

  it('keeps a key that is added while it is worked on until that work is done', () => {
    const { queue } = aQueue();
    queue.add('a');
    queue.take();
    queue.add('a');
    queue.add('a');
    expect(queue.take()).toBeUndefined();
    queue.done('a');
    expect(queue.take()).toBe('a');
    queue.done('a');
    expect(queue.take()).toBeUndefined();
  });

  it('adds a key at the earliest of the times it was asked for', async () => {
    const { clock, queue } = aQueue();
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 200);
    await clock.advance(49);
    expect(queue.take()).toBeUndefined();
    await clock.advance(1);
    expect(queue.take()).toBe('a');
    queue.done('a');
    await clock.advance(1000);
    expect(queue.take()).toBeUndefined();
  });

  it('doubles the delay of a key that keeps failing up to a minute, and forgets when told to', () => {
    const { queue } = aQueue();
    const delays = Array.from({ length: 16 }, () => queue.addRateLimited('a'));
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(delays.at(-1)).toBe(60_000);
    expect(queue.addRateLimited('b')).toBe(5);
    queue.forget('a');
    expect(queue.addRateLimited('a')).toBe(5);
  });

  it('takes nothing more once it is shut down, and waits for what is being worked on', async () => {
    const { clock, queue } = aQueue();
    queue.add('running');
    queue.take();
    queue.add('waiting');
    queue.addAfter('later', 10);
    let isOver = false;
    const over = queue.shutdown(false).then(() => (isOver = true));
    queue.add('new');
    await clock.advance(1000);
    expect(queue.take()).toBeUndefined();
    expect(isOver).toBe(false);
    queue.done('running');
    await over;
    expect(clock.pendingTimers).toBe(0);
  });

  it('hands out what was waiting when it is shut down with a drain', async () => {
    const { queue } = aQueue();
    queue.add('a');
    queue.take();
    queue.add('a');
    queue.add('b');
    const over = queue.shutdown(true);
    expect(queue.take()).toBe('b');
    queue.done('b');
    queue.done('a');
    expect(queue.take()).toBe('a');
    queue.done('a');
    await over;
  });

  it('is over at once when nothing is being worked on', async () => {
    await aQueue().queue.shutdown(true);
  });

  it('measures depth, adds, retries, waiting and work', async () => {
    const { clock, queue, metrics } = aQueue();
    queue.add('a');
    queue.add('b');
    queue.take();
    await clock.advance(20);
    queue.done('a');
    queue.addRateLimited('a');
    expect(Object.fromEntries(metrics.values)).toEqual({
      'workqueue_depth{name="pools"}': 1,
      'workqueue_adds_total{name="pools"}': 2,
      'workqueue_retries_total{name="pools"}': 1,
      'workqueue_queue_duration_seconds{name="pools"}': 1,
      'workqueue_work_duration_seconds{name="pools"}': 1,
    });
  });

  it('never hands a key out twice at once and never loses an add, whatever the interleaving', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key }),
      fc.record({ do: fc.constant('take' as const) }),
      fc.record({ do: fc.constant('done' as const), key }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { queue } = aQueue();
        let readyCalls = 0;
        let takes = 0;
        queue.onReady(() => readyCalls++);
        const running = new Set<string>();
        /** Added since the last time the work on it began. */
        const owed = new Set<string>();
        const take = (): string | undefined => {
          const taken = queue.take();
          if (taken === undefined) return undefined;
          takes++;
          expect(running.has(taken)).toBe(false);
          expect(owed.delete(taken)).toBe(true);
          running.add(taken);
          return taken;
        };
        for (const event of steps) {
          if (event.do === 'add') {
            queue.add(event.key);
            owed.add(event.key);
          } else if (event.do === 'take') take();
          else if (running.delete(event.key)) queue.done(event.key);
        }
        // Workers come to rest: everything owed is worked on, with one take for each time the queue called.
        for (const left of running) queue.done(left);
        running.clear();
        for (let taken = take(); taken !== undefined; taken = take()) {
          running.delete(taken);
          queue.done(taken);
        }
        expect([...owed]).toEqual([]);
        expect(takes).toBe(readyCalls);
      }),
      { numRuns: 300 },
    );
  });
});
