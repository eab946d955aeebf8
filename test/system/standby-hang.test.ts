import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';

let node: NodeUnderTest;
beforeEach(() => {
  node = new NodeUnderTest();
});
afterEach(() => node.close());

describe('pods', () => {
  test('that hang while standby are found before a claim finds them', async () => {
    const host = await node.host();
    const events = await host.events();
    const pod = await node.pod('pod-1');
    await events.podState('pod-1', 'standby');
    pod.isStuck = true;
    const said = await events.until(
      (event) => event.type === 'POD' && event.pod.podUid === 'pod-1' && event.pod.state === 'failed',
      40_000,
    );
    expect(said).toMatchObject({ pod: { lastError: { message: expect.stringMatching(/does not answer/) as string } } });
    expect(await host.load(pod, node.stored('hello.tar'))).toMatchObject({ statusCode: 409 });
    await events.close();
  });
});
