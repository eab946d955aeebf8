import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { ClaimQueue } from './claim-queue.ts';

const never = new AbortController().signal;

function world() {
  const clock = new VirtualClock();
  const queue = new ClaimQueue<string>(clock);
  const served: string[] = [];
  const wait = (name: string, tenant: string, signal = never): void => {
    void queue
      .wait(tenant, 1_000, signal)
      .then((outcome) => served.push(`${name} ${outcome.kind === 'given' ? outcome.item : outcome.kind}`));
  };
  return { clock, queue, served, wait };
}

describe('ClaimQueue', () => {
  it('serves one tenant in the order of arrival', async () => {
    const { clock, queue, served, wait } = world();
    for (const name of ['1', '2', '3']) wait(name, 'a');
    for (const pod of ['p', 'q', 'r']) queue.give(pod);
    await clock.advance(0);
    expect(served).toEqual(['1 p', '2 q', '3 r']);
  });

  it('serves tenants in turn, so that a storm of one does not starve another', async () => {
    const { clock, queue, served, wait } = world();
    for (let i = 0; i < 5; i++) wait(`storm-${i}`, 'a');
    wait('quiet', 'b');
    queue.give('p');
    queue.give('q');
    await clock.advance(0);
    expect(served).toEqual(['storm-0 p', 'quiet q']);
  });

  it('lets a waiter go at its deadline and keeps nothing of it', async () => {
    const { clock, queue, served, wait } = world();
    wait('late', 'a');
    await clock.advance(1_000);
    expect(served).toEqual(['late timeout']);
    expect(queue.length).toBe(0);
    expect(queue.give('p')).toBe(false);
  });

  it('skips a waiter whose client went away', async () => {
    const { clock, queue, served, wait } = world();
    const client = new AbortController();
    wait('gone', 'a', client.signal);
    wait('here', 'a');
    client.abort();
    queue.give('p');
    await clock.advance(0);
    expect(served.sort()).toEqual(['gone aborted', 'here p']);
  });

  it('tells everybody when it closes', async () => {
    const { clock, queue, served, wait } = world();
    wait('1', 'a');
    wait('2', 'b');
    queue.close();
    await clock.advance(0);
    expect(served).toEqual(['1 closed', '2 closed']);
    expect(clock.pendingTimers).toBe(0);
  });
});
