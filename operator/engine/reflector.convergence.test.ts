import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryCluster } from '../memory/memory-cluster.ts';
import {
  KubeError,
  type KubeClient,
  type KubeObject,
  type Resource,
  type WatchEvent,
  type WatchOptions,
} from './kube-client.ts';
import { Reflector } from './reflector.ts';
import { ObjectStore } from './store.ts';
import { VirtualClock } from './testing/fake-clock.ts';

const SECRETS: Resource = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret' };

type Link = 'fine' | 'stalls' | 'resets' | 'refuses';

/** A connection that breaks: between two events, in silence, or before anything. */
function overLink(client: KubeClient, link: { state: Link }): KubeClient {
  const check = (): void => {
    if (link.state === 'refuses') throw new KubeError(503, 'ServiceUnavailable', 'no');
    if (link.state === 'resets') throw new KubeError(0, 'Network', 'reset');
  };
  async function* watch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    check();
    for await (const event of client.watch<T>(resource, namespace, options)) {
      check();
      if (link.state === 'stalls') await new Promise(() => undefined);
      yield event;
    }
  }
  return {
    ...client,
    watch,
    list: async (...call) => {
      check();
      return client.list(...call);
    },
  };
}

const name = fc.integer({ min: 0, max: 9 }).map((number) => `object-${number}`);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), name }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('link' as const),
      state: fc.constantFrom<Link>('fine', 'fine', 'stalls', 'resets', 'refuses'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('compact' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 500, 5_000, 100_000) }),
  },
);

/** With this seed a silence ends an unmeasurable moment before its limit: the check of the rest never came to an end. */
const HUNG: (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[] = [
  { do: 'link', state: 'resets' },
  { do: 'write', name: 'object-0' },
  { do: 'wait', ms: 0 },
  { do: 'link', state: 'stalls' },
  { do: 'wait', ms: 100_000 },
];

describe('a reflector over a connection that breaks in every way', () => {
  it('shows what the cluster holds once the connection is whole, and told its listeners every difference', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(), async (steps, seed) => {
        const clock = new VirtualClock();
        let drawn = (seed % 997) / 997;
        const random = (): number => (drawn = (drawn + 0.3819660113) % 1);
        const cluster = new MemoryCluster({ clock, random });
        const client = cluster.client();
        const link = { state: 'fine' as Link };
        const errors: unknown[] = [];
        const store = new ObjectStore<KubeObject>({ onError: (error) => errors.push(error) });
        const mirror = new Map<string, string>();
        store.onChange((old, next) => {
          if (old) {
            expect(mirror.get(old.metadata.uid)).toBe(old.metadata.resourceVersion);
            mirror.delete(old.metadata.uid);
          }
          if (next) {
            expect(mirror.has(next.metadata.uid)).toBe(false);
            mirror.set(next.metadata.uid, next.metadata.resourceVersion);
          }
        });
        const reflector = new Reflector(
          { client: overLink(client, link), clock, random, store, report: () => undefined },
          { resource: SECRETS, pageSize: 3 },
        );
        const stop = new AbortController();
        const ended = reflector.run(stop.signal);

        for (const next of steps) {
          if (next.do === 'write') await write(client, next.name, String(clock.monotonic()));
          else if (next.do === 'delete') await client.delete(SECRETS, 'default', next.name).catch(() => undefined);
          else if (next.do === 'link') link.state = next.state;
          else if (next.do === 'compact') cluster.compact();
          else await clock.advance(next.ms);
        }
        link.state = 'fine';
        // Longer than the longest pause, and than two silent watches in a row.
        await clock.advance(240_000);

        const truth = versionsOf(cluster.snapshot(SECRETS) as KubeObject[]);
        expect(versionsOf(store.list())).toEqual(truth);
        expect(mirror).toEqual(truth);
        expect(errors).toEqual([]);
        expect(clock.now() - reflector.lastContactUnixMs()).toBeLessThan(90_000);
        stop.abort();
        await ended;
      }),
      // a run that hangs is told with its seed
      { numRuns: 500, timeout: 2_000, interruptAfterTimeLimit: 15_000, examples: [[HUNG, 413_976_344]] },
    );
  });
});

function versionsOf(objects: KubeObject[]): Map<string | undefined, string | undefined> {
  return new Map(objects.map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));
}

async function write(client: KubeClient, name: string, value: string): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default', labels: { value } } };
  try {
    await client.create(SECRETS, 'default', object);
  } catch {
    await client.patch(SECRETS, 'default', name, { metadata: { labels: { value: `${value}-again` } } });
  }
}
