import type { PodUid } from '@warmpool/protocol/fields.ts';
import { describe, expect, it } from 'vitest';
import { judgeInstance, type InstanceFacts } from './judge-instance.ts';

const NOW = 10_000_000;

function facts(change: Partial<InstanceFacts> = {}): InstanceFacts {
  return {
    record: {
      claimId: 'c',
      loadedAs: 'c',
      function: { name: 'f', version: '1', tenant: 't' },
      kind: 'handler',
      digest: 'sha256:0',
      fingerprint: 'x',
      fence: 1,
      source: 'standby',
      claimedAtUnixMs: NOW - 1_000,
      loadDeadlineUnixMs: NOW + 1_000,
      ttlSeconds: 0,
      idleTimeoutSeconds: 0,
    },
    holder: 'known',
    podTrouble: undefined,
    report: {
      podUid: 'u' as PodUid,
      epoch: 'e',
      state: 'ready',
      seq: 1,
      claimId: 'c',
      inFlight: 0,
      idleSinceUnixMs: NOW - 500,
      address: { host: 'h', port: 1 },
    },
    epoch: 'e',
    readyAtUnixMs: NOW - 900,
    ttlSeconds: 0,
    idleTimeoutSeconds: 0,
    idleUntilUnixMs: undefined,
    nowUnixMs: NOW,
    ...change,
  };
}
const withReport = (change: object): InstanceFacts =>
  facts({ report: { ...facts().report, ...change } as InstanceFacts['report'] });

describe('judgeInstance', () => {
  it('keeps a healthy instance without limits, and needs no second look', () => {
    expect(judgeInstance(facts())).toEqual({ kind: 'keep', checkAfterMs: undefined });
  });

  it('ends an instance at its time to live, counted from when it became ready', () => {
    expect(judgeInstance(facts({ ttlSeconds: 1, readyAtUnixMs: NOW - 1_000 })).kind).toBe('expired');
    expect(judgeInstance(facts({ ttlSeconds: 1, readyAtUnixMs: NOW - 400 }))).toEqual({
      kind: 'keep',
      checkAfterMs: 600,
    });
  });

  it('ends an idle instance, but not one with a request under way or one that was claimed again since', () => {
    const idle = { idleTimeoutSeconds: 2, readyAtUnixMs: NOW - 60_000 };
    expect(judgeInstance({ ...withReport({ idleSinceUnixMs: NOW - 2_000 }), ...idle }).kind).toBe('expired');
    expect(
      judgeInstance({ ...withReport({ idleSinceUnixMs: NOW - 2_000, inFlight: 1, state: 'busy' }), ...idle }).kind,
    ).toBe('keep');
    expect(
      judgeInstance({ ...withReport({ idleSinceUnixMs: NOW - 2_000 }), ...idle, readyAtUnixMs: NOW - 500 }),
    ).toEqual({ kind: 'keep', checkAfterMs: 1_500 });
  });

  it('gives an instance up when its process failed, restarted, or is another one', () => {
    expect(judgeInstance(withReport({ state: 'failed', lastError: { code: 'X', message: 'out of memory' } }))).toEqual({
      kind: 'lost',
      message: 'out of memory',
    });
    expect(judgeInstance(facts({ podTrouble: 'a container restarted' })).kind).toBe('lost');
    expect(judgeInstance(withReport({ epoch: 'other' })).kind).toBe('lost');
  });

  it('leaves the kubelet time to say what ended a process that left no words', () => {
    const ended = { state: 'failed', lastError: { code: 'PodLost', message: 'the process has ended' } };
    const silent = { ...withReport(ended), endHeardUnixMs: NOW - 1_000 };
    expect(judgeInstance(silent)).toEqual({ kind: 'keep', checkAfterMs: 2_000 });
    const words = 'container runtime ended with exit code 137 (OOMKilled)';
    expect(judgeInstance({ ...silent, podTrouble: words })).toEqual({ kind: 'lost', message: words });
    expect(judgeInstance({ ...silent, nowUnixMs: NOW + 2_000 })).toEqual({
      kind: 'lost',
      message: 'the process has ended',
    });
    expect(judgeInstance({ ...silent, holder: 'idle' }).kind, 'not to be handed out any more').toBe('lost');
  });

  it('deletes a claimed pod that no claim has, and one whose record is unreadable', () => {
    expect(judgeInstance(facts({ holder: 'none' })).kind).toBe('lost');
    expect(judgeInstance(facts({ record: undefined })).kind).toBe('lost');
  });

  describe('after a change of operator', () => {
    it('takes over an instance that its node confirms for the claim', () => {
      expect(judgeInstance(facts({ holder: 'recovering', epoch: undefined })).kind).toBe('recovered');
    });
    it('gives up a pod that was written as claimed but never loaded', () => {
      expect(
        judgeInstance({
          ...withReport({ state: 'standby', claimId: undefined }),
          holder: 'recovering',
          epoch: undefined,
        }).kind,
      ).toBe('lost');
    });
    it('gives up a pod that was loaded for another claim', () => {
      expect(judgeInstance({ ...withReport({ claimId: 'other' }), holder: 'recovering' }).kind).toBe('lost');
    });
    const recovering = facts({ holder: 'recovering', report: undefined, epoch: undefined });
    it('gives a node that is heard a moment to say something of it', () => {
      const unknown = { ...recovering, unknownSinceUnixMs: NOW + 100_000 };
      expect(judgeInstance({ ...unknown, nowUnixMs: NOW + 129_999 })).toEqual({ kind: 'keep', checkAfterMs: 1 });
      expect(judgeInstance({ ...unknown, nowUnixMs: NOW + 130_000 }).kind).toBe('lost');
    });
    it('waits for a node that is silent, whatever it takes, and for its end', () => {
      const silent = { ...recovering, isNodeSilent: true, ttlSeconds: 60 };
      expect(judgeInstance(silent)).toEqual({ kind: 'keep', checkAfterMs: 10_000 });
      expect(judgeInstance({ ...silent, nowUnixMs: NOW + 59_000 })).toEqual({ kind: 'keep', checkAfterMs: 100 });
      expect(judgeInstance({ ...silent, nowUnixMs: NOW + 59_100 }).kind).toBe('expired');
    });
    it('waits for a node that is lost until the load can no longer come, unless the claim was answered long ago', () => {
      const silent = { ...recovering, isNodeSilent: true, isNodeLost: true };
      expect(judgeInstance({ ...silent, recoveringSinceUnixMs: NOW + 61_000 })).toEqual({
        kind: 'keep',
        checkAfterMs: 10_000,
      });
      expect(judgeInstance(silent)).toEqual({ kind: 'keep', checkAfterMs: 31_000 });
      expect(judgeInstance({ ...silent, nowUnixMs: NOW + 31_000 }).kind).toBe('lost');
    });
  });

  it('ends an instance that was kept warm and that nobody wanted', () => {
    expect(judgeInstance(facts({ holder: 'idle', idleUntilUnixMs: NOW })).kind).toBe('expired');
    expect(judgeInstance(facts({ holder: 'idle', idleUntilUnixMs: NOW + 5 }))).toEqual({
      kind: 'keep',
      checkAfterMs: 5,
    });
  });
});
