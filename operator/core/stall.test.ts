import { describe, expect, it } from 'vitest';
import type { Pod, PodStatus } from './resources.ts';
import { createStall, lastWords, podStall } from './stall.ts';

describe('a create that was refused', () => {
  it.each<[string, number, string, RegExp]>([
    [
      'QuotaExceeded',
      403,
      'pods "nodejs-x" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=10, limited: pods=10',
      /limited: pods=10; see kubectl describe quota,limitrange -n team-a/,
    ],
    [
      'QuotaExceeded',
      403,
      'pods "nodejs-x" is forbidden: maximum memory usage per Container is 128Mi, but limit is 256Mi',
      /raise it, or make/,
    ],
    [
      'PodRefused',
      403,
      'pods "nodejs-x" is forbidden: violates PodSecurity "restricted:latest": privileged (container "runtime" must not set …)',
      /privileged .*change spec\.template/,
    ],
    [
      'NotPermitted',
      403,
      'pods is forbidden: User "system:serviceaccount:warmpool-system:warmpool-operator" cannot create resource "pods" in API group "" in the namespace "team-a"',
      /kubectl apply -k manifests\/pools/,
    ],
    [
      'NamespaceTerminating',
      403,
      'pods "nodejs-x" is forbidden: unable to create new content in namespace team-a because it is being terminated',
      /ends with its namespace/,
    ],
    [
      'TemplateInvalid',
      422,
      'Pod "nodejs-x" is invalid: spec.containers[0].image: Required value',
      /correct that field/,
    ],
    ['CreateFailed', 0, 'no answer after 4000 ms', /^no answer after 4000 ms$/],
  ])('is %s (%i) in the API’s own words and what to do', (reason, status, message, words) => {
    const stall = createStall({ status, message }, 'team-a');
    expect(stall.reason).toBe(reason);
    expect(stall.message).toMatch(words);
    expect(stall.message.startsWith(message)).toBe(true);
  });

  it('is the same trouble for the next pod, whose name is another', () => {
    const words = (name: string) =>
      createStall({ status: 403, message: `pods "${name}" is forbidden: no` }, 'a').message;
    expect(words('nodejs-0a1b2c3d')).toBe(words('nodejs-99ffeedd'));
    expect(words('nodejs-0a1b2c3d')).toContain('pods "nodejs-…" is forbidden');
  });
});

function aPod(status: PodStatus): Pod {
  return { metadata: { name: 'p' }, spec: { containers: [] }, status };
}
const waiting = (reason: string, message?: string): PodStatus => ({
  phase: 'Pending',
  containerStatuses: [
    {
      ...{ name: 'runtime', image: 'registry/x:1', restartCount: 0, ready: false },
      state: { waiting: { reason, ...(message !== undefined && { message }) } },
    },
  ],
});

describe('a pod that is held up', () => {
  it('by the scheduler says what the scheduler says', () => {
    const message = '0/3 nodes are available: 3 Insufficient memory.';
    const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }];
    const stall = podStall(aPod({ phase: 'Pending', conditions }));
    expect(stall?.reason).toBe('Unschedulable');
    expect(stall?.message).toContain(message);
  });

  it.each(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull'])(
    'by its image: %s',
    (reason) => {
      const stall = podStall(aPod(waiting(reason, 'rpc error: not found')));
      expect(stall?.reason).toBe('ImagePullFailing');
      expect(stall?.message).toMatch(
        /^image registry\/x:1 of container runtime cannot be pulled: rpc error: not found; check/,
      );
    },
  );

  it('by what its container needs', () => {
    const stall = podStall(aPod(waiting('CreateContainerConfigError', 'secret "settings" not found')));
    expect(stall).toMatchObject({ reason: 'ContainerNotCreated' });
    expect(stall?.message).toContain('secret "settings" not found');
  });

  it.each([aPod({}), aPod({ phase: 'Pending' }), aPod(waiting('ContainerCreating')), aPod(waiting('PodInitializing'))])(
    'is not one that only starts',
    (pod) => expect(podStall(pod)).toBeUndefined(),
  );
});

describe('a container that ended', () => {
  const ended = (exitCode: number, reason?: string, message?: string): string =>
    lastWords(
      aPod({
        phase: 'Failed',
        containerStatuses: [
          {
            ...{ name: 'runtime', restartCount: 0, ready: false },
            state: { terminated: { exitCode, ...(reason && { reason }), ...(message && { message }) } },
          },
        ],
      }),
    );

  it('is told with its exit code and last words', () => {
    expect(ended(2, 'Error', 'WARMPOOL_PORT is missing\n')).toBe(
      'container runtime ended with exit code 2 (Error): WARMPOOL_PORT is missing',
    );
  });

  it('by lack of memory is told which limit to raise', () => {
    expect(ended(137, 'OOMKilled')).toMatch(/resources\.limits\.memory/);
  });

  it('is left out when nobody said how', () => {
    expect(lastWords(aPod({ phase: 'Failed' }))).toBe('');
  });
});
