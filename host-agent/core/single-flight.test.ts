import { describe, expect, test } from 'vitest';
import { SingleFlight } from './single-flight.ts';

describe('a single flight', () => {
  test('runs once for all who ask at the same time, and again for who asks later', async () => {
    const flights = new SingleFlight<string, number>();
    let runs = 0;
    const start = (): Promise<number> => Promise.resolve(++runs);
    const { signal } = new AbortController();
    expect(await Promise.all([flights.join('a', signal, start), flights.join('a', signal, start)])).toEqual([1, 1]);
    expect(await flights.join('a', signal, start)).toBe(2);
    expect(flights.size).toBe(0);
  });

  test('goes on when one waiter gives up and is aborted when the last one does', async () => {
    const flights = new SingleFlight<string, number>();
    const landing = Promise.withResolvers<number>();
    let inner: AbortSignal | undefined;
    const start = (signal: AbortSignal): Promise<number> => {
      inner = signal;
      return landing.promise;
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const first = flights.join('a', one.signal, start);
    const second = flights.join('a', two.signal, start);
    one.abort(new Error('one left'));
    await expect(first).rejects.toThrow('one left');
    expect(inner?.aborted).toBe(false);
    two.abort(new Error('two left'));
    await expect(second).rejects.toThrow('two left');
    expect(inner?.aborted).toBe(true);
    expect(flights.size).toBe(0);
  });

  test('that was given up is not joined by who comes next', async () => {
    const flights = new SingleFlight<string, number>();
    const gone = new AbortController();
    const first = flights.join('a', gone.signal, () => new Promise(() => {}));
    gone.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    expect(await flights.join('a', new AbortController().signal, () => Promise.resolve(7))).toBe(7);
  });

  test('that failed fails everyone and is forgotten', async () => {
    const flights = new SingleFlight<string, number>();
    const { signal } = new AbortController();
    const start = (): Promise<number> => Promise.reject(new Error('no'));
    const both = await Promise.allSettled([flights.join('a', signal, start), flights.join('a', signal, start)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await flights.join('a', signal, () => Promise.resolve(1))).toBe(1);
  });
});
