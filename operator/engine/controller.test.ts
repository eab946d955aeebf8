import { afterEach, describe, expect, it } from 'vitest';
import { Controller, TerminalError, type ControllerOptions } from './controller.ts';
import { sleep } from './clock.ts';
import { KubeError } from './kube-client.ts';
import { settle, VirtualClock } from './testing/fake-clock.ts';
import { RecordingLog, RecordingMetrics } from './testing/recording.ts';

const running: { stop: AbortController; ended: Promise<void>; clock: VirtualClock }[] = [];

function aController(reconcile: ControllerOptions['reconcile'], options: Partial<ControllerOptions> = {}) {
  const clock = new VirtualClock();
  const log = new RecordingLog();
  const metrics = new RecordingMetrics();
  const deps = { clock, random: () => 1, log, metrics };
  const controller = new Controller(deps, { name: 'pools', reconcile, ...options });
  const stop = new AbortController();
  const start = (): Promise<void> => {
    const ended = controller.run(stop.signal);
    running.push({ stop, ended, clock });
    return ended;
  };
  return { clock, log, metrics, controller, stop, start };
}

describe('Controller', () => {
  afterEach(async () => {
    for (const { stop, ended, clock } of running.splice(0)) {
      stop.abort();
      await clock.advance(60_000);
      await ended;
    }
  });

  it('reconciles keys that were added before it ran, and not earlier', async () => {
    const seen: string[] = [];
    const { controller, start } = aController(async (key) => {
      seen.push(key);
      return {};
    });
    controller.enqueue('a');
    controller.enqueue('b');
    await settle();
    expect(seen).toEqual([]);
    void start();
    await settle();
    expect(seen).toEqual(['a', 'b']);
  });

  it('does not begin work inside the caller that adds a key', () => {
    let hasBegun = false;
    const { controller, start } = aController(async () => {
      hasBegun = true;
      return {};
    });
    void start();
    controller.enqueue('a');
    expect(hasBegun).toBe(false);
  });

  it('works on as many keys at once as it may, never on one key twice', async () => {
    const active = new Map<string, number>();
    let most = 0;
    const { clock, controller, start } = aController(
      async (key) => {
        active.set(key, (active.get(key) ?? 0) + 1);
        most = Math.max(most, active.size);
        expect(active.get(key)).toBe(1);
        controller.enqueue(key === 'a' && clock.monotonic() < 300 ? key : 'z');
        await sleep(clock, 50);
        active.delete(key);
        return {};
      },
      { concurrency: 2 },
    );
    void start();
    for (const key of ['a', 'b', 'c', 'd']) controller.enqueue(key);
    await clock.advance(1000);
    expect(most).toBe(2);
  });

  it('tries again what failed, later each time, and starts small again after a success', async () => {
    const times: number[] = [];
    let failures = 3;
    const { clock, controller, start, log } = aController(async () => {
      times.push(clock.monotonic());
      if (failures-- > 0) throw new Error('not yet');
      return {};
    });
    void start();
    controller.enqueue('a');
    await clock.advance(1000);
    expect(times).toEqual([0, 5, 15, 35]);
    expect(log.lines.map(({ level, message }) => `${level}: ${message}`)).toEqual(
      Array.from({ length: 3 }, () => 'warn: reconcile failed'),
    );
    failures = 1;
    controller.enqueue('a');
    await clock.advance(1000);
    expect(times.slice(4)).toEqual([1000, 1005]);
  });

  it('takes a write conflict for normal and tries again', async () => {
    let calls = 0;
    const { clock, controller, start, log } = aController(async () => {
      if (++calls === 1) throw new KubeError(409, 'Conflict', 'the object has been modified');
      return {};
    });
    void start();
    controller.enqueue('a');
    await clock.advance(100);
    expect(calls).toBe(2);
    expect(log.lines.map(({ level }) => level)).toEqual(['debug']);
  });

  it('does not try again what cannot be mended, until the key is added anew', async () => {
    let calls = 0;
    const { clock, controller, start, metrics } = aController(async () => {
      calls++;
      throw new TerminalError('the template has no container');
    });
    void start();
    controller.enqueue('a');
    await clock.advance(600_000);
    expect(calls).toBe(1);
    controller.enqueue('a');
    await clock.advance(0);
    expect(calls).toBe(2);
    expect(metrics.values.get('controller_runtime_terminal_reconcile_errors_total{controller="pools"}')).toBe(2);
  });

  it('looks again when the reconcile asks for it', async () => {
    const times: number[] = [];
    const { clock, controller, start } = aController(async () => {
      times.push(clock.monotonic());
      return { requeueAfterMs: 400 };
    });
    void start();
    controller.enqueue('a');
    await clock.advance(1000);
    expect(times).toEqual([0, 400, 800]);
  });

  it('aborts the signal of a reconcile that takes too long, and tries again', async () => {
    let calls = 0;
    const { clock, controller, start, log } = aController(
      async (_, { signal }) => {
        if (++calls === 1) await sleep(clock, 60_000, signal);
        return {};
      },
      { reconcileTimeoutMs: 500 },
    );
    void start();
    controller.enqueue('default/pool');
    await clock.advance(600);
    expect(calls).toBe(2);
    expect(log.lines[0]?.fields).toMatchObject({
      err: { message: 'the reconcile of default/pool was not over after 500 ms' },
    });
  });

  it('survives a reconcile that throws before it returns a promise', async () => {
    const { clock, controller, start, log } = aController(() => {
      throw new Error('at once');
    });
    void start();
    controller.enqueue('a');
    await clock.advance(1);
    expect(log.lines).toHaveLength(1);
  });

  it('finishes what runs when it is stopped, begins nothing new, and leaves no timer', async () => {
    const seen: string[] = [];
    const { clock, controller, start, stop } = aController(async (key) => {
      seen.push(`${key} begins`);
      await sleep(clock, 100);
      seen.push(`${key} ends`);
      return { requeueAfterMs: 50 };
    });
    const ended = start();
    controller.enqueue('a');
    controller.enqueue('b');
    await clock.advance(10);
    stop.abort();
    await clock.advance(200);
    await ended;
    expect(seen).toEqual(['a begins', 'a ends']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('aborts what still runs when a stop has waited long enough', async () => {
    const { clock, controller, start, stop } = aController(
      async (_, { signal }) => {
        await sleep(clock, 1_000_000, signal);
        return {};
      },
      { drainMs: 2_000, reconcileTimeoutMs: 2_000_000 },
    );
    const ended = start();
    controller.enqueue('a');
    await clock.advance(10);
    stop.abort();
    await clock.advance(2_000);
    await ended;
  });

  it('counts results under the names that dashboards know', async () => {
    let failures = 1;
    const { clock, controller, start, metrics } = aController(
      async () => {
        if (failures-- > 0) throw new Error('once');
        return {};
      },
      { concurrency: 4 },
    );
    void start();
    controller.enqueue('a');
    await clock.advance(100);
    const value = (name: string): number | undefined => metrics.values.get(name);
    expect(value('controller_runtime_reconcile_total{controller="pools",result="success"}')).toBe(1);
    expect(value('controller_runtime_reconcile_total{controller="pools",result="error"}')).toBe(1);
    expect(value('controller_runtime_reconcile_errors_total{controller="pools"}')).toBe(1);
    expect(value('controller_runtime_reconcile_time_seconds{controller="pools"}')).toBe(2);
    expect(value('controller_runtime_active_workers{controller="pools"}')).toBe(0);
    expect(value('controller_runtime_max_concurrent_reconciles{controller="pools"}')).toBe(4);
  });
});
