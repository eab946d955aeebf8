import { expect, it, vi } from 'vitest';
import { LoadPacer } from './load-pacer.ts';

function startLoads(pacer: LoadPacer, count: number) {
  const started: number[] = [];
  const loads = Array.from({ length: count }, (_, index) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const result = pacer.run(() => {
      started.push(index);
      return promise;
    });
    result.catch(() => undefined);
    return { result, resolve: () => resolve(index), reject };
  });
  return { started, loads };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

it('starts no more than the given number at once, in the order of their arrival', async () => {
  const { started, loads } = startLoads(new LoadPacer(2, 60_000), 4);
  await settle();
  expect(started).toEqual([0, 1]);
  loads[1]?.resolve();
  await settle();
  expect(started).toEqual([0, 1, 2]);
  loads[0]?.reject(new Error('the module failed'));
  await settle();
  expect(started).toEqual([0, 1, 2, 3]);
  for (const load of loads) load.resolve();
  expect(await loads[3]?.result).toBe(3);
});

it('does not let a load that takes long hold up the next, nor give its turn away twice', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const { started, loads } = startLoads(new LoadPacer(1, 20), 4);
    vi.advanceTimersByTime(20);
    await settle();
    expect(started).toEqual([0, 1]);
    loads[0]?.resolve();
    await settle();
    expect(started).toEqual([0, 1]);
    loads[1]?.resolve();
    await settle();
    expect(started).toEqual([0, 1, 2]);
  } finally {
    vi.useRealTimers();
  }
});
