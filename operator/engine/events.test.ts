import { describe, expect, it } from 'vitest';
import { MemoryCluster } from '../memory/memory-cluster.ts';
import { EventRecorder, EVENTS_RESOURCE, type EventNote, type EventRecorderOptions } from './events.ts';
import type { KubeClient, KubeObject } from './kube-client.ts';
import { VirtualClock } from './testing/fake-clock.ts';
import { RecordingLog, RecordingMetrics } from './testing/recording.ts';

const POOLS = { group: 'warmpool.dev', version: 'v1alpha1', plural: 'warmpools', kind: 'WarmPool' };
const web: KubeObject = { metadata: { name: 'web', namespace: 'default', uid: 'uid-web' } };

interface WrittenEvent extends KubeObject {
  note: string;
}

function aRecorder(
  options: Partial<EventRecorderOptions> = {},
  change: (client: KubeClient) => Partial<KubeClient> = () => ({}),
) {
  const clock = new VirtualClock();
  let drawn = 0;
  const random = (): number => (drawn = (drawn + 0.137) % 1);
  const cluster = new MemoryCluster({ clock, random });
  const metrics = new RecordingMetrics();
  const client = { ...cluster.client(), ...change(cluster.client()) };
  const recorder = new EventRecorder(
    { client, clock, random, log: new RecordingLog(), metrics },
    { controller: 'warmpool-operator', instance: 'operator-0', ...options },
  );
  const record = (message: string, more: Partial<EventNote> = {}): void =>
    recorder.record(
      { resource: POOLS, object: web },
      { type: 'Normal', reason: 'PoolScaledUp', action: 'Fill', message, ...more },
    );
  const written = async (): Promise<WrittenEvent[]> => {
    await recorder.idle();
    return (await cluster.client().list<WrittenEvent>(EVENTS_RESOURCE, 'default')).items;
  };
  return { clock, recorder, record, written, metrics };
}

describe('EventRecorder', () => {
  it('writes an event about the object, in its namespace, as an apiserver takes it', async () => {
    const { record, written } = aRecorder();
    record('created 3 pods');
    expect(await written()).toMatchObject([
      {
        metadata: { namespace: 'default', name: expect.stringMatching(/^web\.[0-9a-z]+$/) as string },
        eventTime: '2026-01-01T00:00:00.000000Z',
        reportingController: 'warmpool-operator',
        reportingInstance: 'operator-0',
        regarding: {
          apiVersion: 'warmpool.dev/v1alpha1',
          kind: 'WarmPool',
          namespace: 'default',
          name: 'web',
          uid: 'uid-web',
        },
        type: 'Normal',
        reason: 'PoolScaledUp',
        action: 'Fill',
        note: 'created 3 pods',
      },
    ]);
  });

  it('writes the same thing once in ten minutes, then says how often it happened', async () => {
    const { clock, record, written } = aRecorder();
    for (let time = 0; time < 5; time++) record('created 3 pods');
    record('created 4 pods');
    expect(await written()).toHaveLength(2);
    await clock.advance(600_000);
    record('created 3 pods');
    expect((await written()).map(({ note }) => note).sort()).toEqual([
      'created 3 pods',
      'created 3 pods (4 more times before)',
      'created 4 pods',
    ]);
  });

  it('writes no more than its burst, then at its rate, and counts what it drops', async () => {
    const { clock, recorder, record, written, metrics } = aRecorder({ burst: 3, perSecond: 2 });
    for (let event = 0; event < 10; event++) record(`event ${event}`);
    expect(await written()).toHaveLength(3);
    expect(recorder.dropped).toBe(7);
    await clock.advance(1_000);
    for (let event = 10; event < 20; event++) record(`event ${event}`);
    expect(await written()).toHaveLength(5);
    expect(metrics.values.get('warmpool_events_dropped_total{cause="rate_limited"}')).toBe(15);
  });

  it('tries again to say what was dropped when it happens again', async () => {
    const { clock, record, written } = aRecorder({ burst: 1 });
    record('first');
    record('second');
    await clock.advance(1_000);
    record('second');
    expect((await written()).map(({ note }) => note)).toEqual(['first', 'second']);
  });

  it('never throws and never rejects when events cannot be written', async () => {
    const { recorder, record, metrics } = aRecorder({}, () => ({
      create: () => Promise.reject(new Error('the apiserver is away')),
    }));
    record('created 3 pods');
    await recorder.idle();
    expect(recorder.dropped).toBe(1);
    expect(metrics.values.get('warmpool_events_dropped_total{cause="failed"}')).toBe(1);
  });

  it('cuts a message to what an event may hold, counted in bytes', async () => {
    const { record, written } = aRecorder();
    record('ü'.repeat(900));
    const [event] = await written();
    expect(Buffer.byteLength(event?.note ?? '')).toBeLessThanOrEqual(1024);
    expect(event?.note).toMatch(/^ü{500,}.?…$/u);
  });
});
