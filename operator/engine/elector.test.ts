import { afterEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { MemoryCluster } from '../memory/memory-cluster.ts';
import { Elector } from './elector.ts';
import { KubeError, type KubeClient, type KubeObject, type Stored } from './kube-client.ts';
import { LEASES_RESOURCE } from './lease-record.ts';
import { settle, VirtualClock } from './testing/fake-clock.ts';
import { RecordingLog, RecordingMetrics } from './testing/recording.ts';

interface Lease extends KubeObject {
  spec: { holderIdentity: string; leaseTransitions: number; renewTime: string; acquireTime: string };
}

/** What happens to the write calls of one candidate. */
type Fault = 'none' | 'refused' | 'no answer' | 'answer lost' | 'hangs' | 'slow answer';

interface Link {
  fault: Fault;
  /** What a slow answer waits for. */
  answer: PromiseWithResolvers<void>;
}

class World {
  readonly clock = new VirtualClock();
  readonly #cluster = new MemoryCluster({ clock: this.clock, random: () => 0.5 });
  readonly #running: { stop: AbortController; ended: Promise<void> }[] = [];

  candidate(identity: string, onStopped: () => void | Promise<void> = () => undefined) {
    const link: Link = { fault: 'none', answer: Promise.withResolvers<void>() };
    const terms: number[] = [];
    const signals: AbortSignal[] = [];
    let stops = 0;
    const metrics = new RecordingMetrics();
    const elector = new Elector(
      { client: this.#faulty(link), clock: this.clock, random: () => 0.5, log: new RecordingLog(), metrics },
      { namespace: 'system', name: 'operator', identity },
      {
        onStarted: (term, signal) => {
          terms.push(term);
          signals.push(signal);
        },
        onStopped: () => {
          stops++;
          return onStopped();
        },
      },
    );
    const stop = new AbortController();
    const ended = elector.run(stop.signal);
    this.#running.push({ stop, ended });
    return { elector, terms, signals, link, stop, ended, metrics, stops: () => stops };
  }

  lease(): Promise<Stored<Lease>> {
    return this.#cluster.client().get<Lease>(LEASES_RESOURCE, 'system', 'operator');
  }

  client(): KubeClient {
    return this.#cluster.client();
  }

  async end(): Promise<void> {
    for (const { stop, ended } of this.#running) {
      stop.abort();
      await this.clock.advance(20_000);
      await ended;
    }
  }

  #faulty(link: Link): KubeClient {
    const client = this.#cluster.client();
    const through = async <T>(call: () => Promise<T>): Promise<T> => {
      switch (link.fault) {
        case 'none':
          return call();
        case 'refused':
          throw new KubeError(500, 'InternalError', 'etcd is away');
        case 'no answer':
          throw new KubeError(0, 'Network', 'the connection was reset');
        case 'answer lost':
          await call();
          throw new KubeError(0, 'Network', 'the connection was reset');
        case 'slow answer': {
          const result = await call();
          await link.answer.promise;
          return result;
        }
        case 'hangs':
          return new Promise(() => undefined);
      }
    };
    return {
      ...client,
      get: (...call) => (link.fault === 'answer lost' ? client.get(...call) : through(() => client.get(...call))),
      create: (...call) => through(() => client.create(...call)),
      patch: (...call) => through(() => client.patch(...call)),
    };
  }
}

let world: World;

describe('Elector', () => {
  afterEach(() => world.end());

  it('leads at once where nobody did, and renews with microseconds as a Lease wants them', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    expect(a.elector.isLeader()).toBe(true);
    expect(a.elector.term).toBe(1);
    await world.clock.advance(60_000);
    expect(a.terms).toEqual([1]);
    expect((await world.lease()).spec).toMatchObject({
      holderIdentity: 'a',
      leaseTransitions: 1,
      acquireTime: '2026-01-01T00:00:00.000000Z',
      renewTime: expect.stringMatching(/^2026-01-01T00:00:5\d\.\d{3}000Z$/) as string,
    });
    expect(a.metrics.values.get('leader_election_master_status{name="operator"}')).toBe(1);
  });

  it('lets one of many lead', async () => {
    world = new World();
    const candidates = ['a', 'b', 'c'].map((identity) => world.candidate(identity));
    await world.clock.advance(60_000);
    expect(candidates.filter(({ elector }) => elector.isLeader())).toHaveLength(1);
    expect(candidates.flatMap(({ terms }) => terms)).toEqual([1]);
    expect(candidates.map(({ elector }) => elector.holder)).toEqual(['a', 'a', 'a']);
  });

  it('takes over from a leader that is cut off, after that one has stopped and with a higher term', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    const b = world.candidate('b');
    await world.clock.advance(10_000);
    a.link.fault = 'no answer';
    const cutOffAt = world.clock.monotonic();
    await world.clock.runUntil(() => !a.elector.isLeader(), 20_000);
    expect(world.clock.monotonic() - cutOffAt).toBeLessThanOrEqual(10_000);
    expect(a.signals[0]?.aborted).toBe(true);
    expect(b.elector.isLeader()).toBe(false);
    await world.clock.runUntil(() => b.elector.isLeader(), 20_000);
    expect(b.terms).toEqual([2]);
    expect(a.stops()).toBe(1);
  });

  it('does not believe itself the leader after a pause, before any timer has run', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    world.clock.jump(10_001);
    expect(a.elector.isLeader()).toBe(false);
    expect(a.elector.term).toBeUndefined();
    await world.clock.advance(0);
    expect(a.signals[0]?.aborted).toBe(true);
  });

  it('begins a new term rather than revive one by an answer that came after its end', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    a.link.fault = 'slow answer';
    await world.clock.advance(2_300);
    world.clock.jump(8_000);
    expect(a.elector.isLeader()).toBe(false);
    a.link.answer.resolve();
    await settle();
    expect(a.signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(a.terms).toEqual([1, 2]);
  });

  it('gives up in time when a renewal hangs', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    a.link.fault = 'hangs';
    await world.clock.advance(10_000);
    expect(a.elector.isLeader()).toBe(false);
    expect(a.signals[0]?.aborted).toBe(true);
    a.link.fault = 'none';
    await world.clock.advance(20_000);
    expect(a.terms).toEqual([1, 2]);
  });

  it('goes on leading when a renewal was made but its answer was lost', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    a.link.fault = 'answer lost';
    await world.clock.advance(2_500);
    a.link.fault = 'none';
    await world.clock.advance(30_000);
    expect(a.terms).toEqual([1]);
    expect(a.elector.isLeader()).toBe(true);
  });

  it('survives errors that are shorter than the deadline', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    a.link.fault = 'refused';
    await world.clock.advance(7_000);
    a.link.fault = 'none';
    await world.clock.advance(20_000);
    expect(a.terms).toEqual([1]);
  });

  it('hands over at once on a clean stop, when its own work has ended', async () => {
    world = new World();
    const work = Promise.withResolvers<void>();
    const a = world.candidate('a', () => work.promise);
    await settle();
    const b = world.candidate('b');
    await world.clock.advance(1_000);
    a.stop.abort();
    await world.clock.advance(3_000);
    expect(b.elector.isLeader()).toBe(false);
    work.resolve();
    await a.ended;
    await world.clock.advance(3_000);
    expect(b.terms).toEqual([2]);
  });

  it('hands over at once also when a renewal is under way that it does not wait for', async () => {
    world = new World();
    const a = world.candidate('a');
    await settle();
    const b = world.candidate('b');
    a.link.fault = 'slow answer';
    const { resourceVersion } = (await world.lease()).metadata;
    await world.clock.advance(4_000);
    expect((await world.lease()).metadata.resourceVersion).not.toBe(resourceVersion);
    a.link.fault = 'none';
    a.stop.abort();
    await settle();
    await a.ended;
    expect((await world.lease()).spec.holderIdentity).toBe('');
    await world.clock.advance(3_000);
    expect(b.terms).toEqual([2]);
  });

  it('does not release the lease when its work does not end in time; it runs out instead', async () => {
    world = new World();
    const a = world.candidate('a', () => new Promise(() => undefined));
    await settle();
    const b = world.candidate('b');
    await world.clock.advance(1_000);
    a.stop.abort();
    await world.clock.advance(10_000);
    await a.ended;
    expect((await world.lease()).spec.holderIdentity).toBe('a');
    await world.clock.advance(12_000);
    expect(b.elector.isLeader()).toBe(true);
  });

  it('stops leading when somebody deletes the lease, lets nobody else lead meanwhile, and never uses a term twice', async () => {
    world = new World();
    const a = world.candidate('a');
    const b = world.candidate('b');
    await world.clock.advance(5_000);
    a.link.fault = 'no answer';
    await world.client().delete(LEASES_RESOURCE, 'system', 'operator');
    for (let second = 0; second < 40; second++) {
      await world.clock.advance(1_000);
      expect([a, b].filter(({ elector }) => elector.isLeader()).length).toBeLessThanOrEqual(1);
    }
    expect([a.terms, b.terms]).toEqual([[1], [2]]);
  });

  it('makes the lease anew, with a higher term, when its own was deleted', async () => {
    world = new World();
    const a = world.candidate('a');
    await world.clock.advance(5_000);
    await world.client().delete(LEASES_RESOURCE, 'system', 'operator');
    await world.clock.advance(10_000);
    expect(a.terms).toEqual([1, 2]);
  });

  it('refuses timings with which two could lead at once', () => {
    world = new World();
    const deps = {
      client: world.client(),
      clock: world.clock,
      random: () => 0,
      log: new RecordingLog(),
      metrics: new RecordingMetrics(),
    };
    const options = {
      namespace: 'system',
      name: 'operator',
      identity: 'a',
      leaseDurationMs: 10_000,
      renewDeadlineMs: 10_000,
    };
    expect(() => new Elector(deps, options, { onStarted: () => undefined, onStopped: () => undefined })).toThrow(
      'renewDeadlineMs must be below leaseDurationMs',
    );
  });
});

describe('any number of electors under any faults', () => {
  it('have at most one leader at any moment, with terms that only rise', async () => {
    const fault = fc.constantFrom<Fault>('none', 'none', 'refused', 'no answer', 'answer lost', 'hangs');
    const change = fc.record({ who: fc.nat(2), fault, afterMs: fc.nat(9_000) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 25 }), async (changes) => {
        const world = new World();
        const candidates = ['a', 'b', 'c'].map((identity) => world.candidate(identity));
        for (const { who, fault, afterMs } of changes) {
          for (let elapsedMs = 0; elapsedMs < afterMs; elapsedMs += 700) {
            await world.clock.advance(700);
            expect(candidates.filter(({ elector }) => elector.isLeader()).length).toBeLessThanOrEqual(1);
          }
          const candidate = candidates[who];
          if (candidate) candidate.link.fault = fault;
        }
        const terms = candidates.flatMap((candidate) => candidate.terms);
        expect(new Set(terms).size).toBe(terms.length);
        for (const candidate of candidates) {
          expect(candidate.terms).toEqual([...candidate.terms].sort((a, b) => a - b));
          candidate.link.fault = 'none';
        }
        await world.clock.advance(60_000);
        expect(candidates.filter(({ elector }) => elector.isLeader())).toHaveLength(1);
        await world.end();
      }),
      { numRuns: 60 },
    );
  });
});
