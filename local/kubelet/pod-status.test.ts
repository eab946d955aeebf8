import { describe, expect, it } from 'vitest';
import type { Pod } from '@warmpool/operator/core/resources.ts';
import { exitedStatus, readyStatus } from './pod-status.ts';
import type { ProcessExit, Termination } from './pod-status.ts';

const pod: Pod = { metadata: { name: 'pod' }, spec: { containers: [{ name: 'runtime' }] } };
const times = { startedAt: '2026-01-01T00:00:00.000Z', finishedAt: '2026-01-01T00:00:01.000Z' };

function ended(exit: Partial<ProcessExit>, termination?: Termination, ranOutOfHeap = false) {
  return exitedStatus(pod, { code: null, signal: null, ...exit }, { termination, ranOutOfHeap }, times);
}

describe('the status of a pod', () => {
  it.each([
    [{ code: 0 }, 'Succeeded', 'Completed', /ended by itself/],
    [{ code: 1 }, 'Failed', 'Error', /exit code 1/],
    [{ signal: 'SIGSEGV' }, 'Failed', 'Error', /ended by SIGSEGV/],
    [{ signal: 'SIGKILL' }, 'Failed', 'Error', /SIGKILL from outside.*ran out of memory/],
    [{ spawnError: 'spawn x ENOENT' }, 'Failed', 'StartError', /could not be started: spawn x ENOENT/],
  ])('after %o says %s, %s', (exit, phase, reason, message) => {
    expect(ended(exit)).toMatchObject({ phase, reason, message: expect.stringMatching(message) as string });
  });

  it('calls an exhausted heap what it is', () => {
    expect(ended({ signal: 'SIGABRT' }, undefined, true)).toMatchObject({ phase: 'Failed', reason: 'OOMKilled' });
  });

  it('repeats what the agent said about its end, but not without limit', () => {
    const status = ended({ code: 3 }, { reason: 'LoadFailed', message: 'x'.repeat(5000) });
    expect(status.reason).toBe('LoadFailed');
    expect(status.message).toHaveLength(1024);
  });

  it('keeps the conditions that others have written', () => {
    const conditions = [
      { type: 'warmpool.dev/serving', status: 'True' },
      { type: 'Ready', status: 'False' },
    ];
    const status = readyStatus({ ...pod, status: { conditions } }, times.startedAt);
    expect(status.conditions).toMatchObject([
      { type: 'warmpool.dev/serving', status: 'True' },
      { type: 'Ready', status: 'True' },
    ]);
  });
});
