import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { NodeEvent } from '@warmpool/protocol/host-agent-api.ts';
import type { Clock } from '../engine/clock.ts';
import { silentLog } from '../engine/log.ts';
import type { HostAgentClient } from './host-agent-client.ts';
import { followNode } from './node-follower.ts';
import { NodeView } from './node-view.ts';

/** Time that passes at once, as for a process that was stopped: what is due by then runs after it, and before anything else is read. */
class JumpingClock implements Clock {
  #nowMs = 0;
  #timers: { dueMs: number; task: () => void }[] = [];

  now = (): number => this.#nowMs;
  monotonic = (): number => this.#nowMs;

  after(delayMs: number, task: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, task };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((each) => each !== timer));
  }

  async jump(ms: number): Promise<void> {
    this.#nowMs += ms;
    for (const timer of this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs)) {
      this.#timers = this.#timers.filter((each) => each !== timer);
      timer.task();
    }
    await turn();
  }
}

class OneNode {
  readonly view = new NodeView();
  readonly clock = new JumpingClock();
  readonly resets: string[] = [];
  readonly #stop = new AbortController();
  readonly #following: Promise<void>;
  #say: (event: NodeEvent | undefined) => void = () => undefined;

  constructor() {
    const say = (): Promise<NodeEvent | undefined> => new Promise((resolve) => (this.#say = resolve));
    const hostAgents = {
      reset: (node: string) => void this.resets.push(node),
      async *events(_node: string, signal: AbortSignal) {
        yield { type: 'SNAPSHOT', node: 'n', pods: [], digests: [] };
        for (;;) {
          const said = await Promise.race([say(), new Promise((resolve) => signal.addEventListener('abort', resolve))]);
          if (signal.aborted) throw new Error('aborted');
          yield said as NodeEvent;
        }
      },
    } as unknown as HostAgentClient;
    const deps = { clock: this.clock, random: () => 0.5, hostAgents, view: this.view, log: silentLog };
    this.#following = followNode(deps, 'n', this.#stop.signal, () => new AbortController().signal);
  }

  async ping(): Promise<void> {
    this.#say({ type: 'PING' });
    await turn();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.#following;
  }
}

describe('a node that is followed', () => {
  it('is silenced, and what is under way there broken, 6 s after it was heard last', async () => {
    const node = new OneNode();
    await turn();
    for (let seconds = 0; seconds < 10; seconds++) {
      await node.clock.jump(1_000);
      await node.ping();
    }
    await node.clock.jump(5_500);
    expect([node.view.isHeard('n'), node.resets]).toEqual([true, []]);
    await node.clock.jump(500);
    expect([node.view.isHeard('n'), node.resets]).toEqual([false, ['n']]);
    await node.stop();
  });

  it('is not blamed when this process stood still', async () => {
    const node = new OneNode();
    await turn();
    await node.clock.jump(60_000);
    await node.ping();
    await node.clock.jump(1_000);
    expect([node.view.isHeard('n'), node.resets]).toEqual([true, []]);
    await node.stop();
  });
});
