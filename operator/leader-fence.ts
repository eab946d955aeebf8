import { KubeError, type KubeClient } from './engine/kube-client.ts';
import { HostAgentError, type HostAgentClient } from './claims/host-agent-client.ts';

/**
 * Lets writes through only while this process leads, asked at the very moment of each. A process that was paused wakes up in the
 * middle of what it was doing, with a view that another leader has outdated meanwhile.
 */
export function fencedKube(kube: KubeClient, leads: () => boolean): KubeClient {
  const refused = (): Promise<never> =>
    Promise.reject(new KubeError(409, 'NotLeader', 'this process does not lead any more, so nothing was sent'));
  return {
    get: (...call) => kube.get(...call),
    list: (...call) => kube.list(...call),
    watch: (...call) => kube.watch(...call),
    create: (...call) => (leads() ? kube.create(...call) : refused()),
    patch: (...call) => (leads() ? kube.patch(...call) : refused()),
    patchStatus: (...call) => (leads() ? kube.patchStatus(...call) : refused()),
    patchResize: (...call) => (leads() ? kube.patchResize(...call) : refused()),
    delete: (...call) => (leads() ? kube.delete(...call) : refused()),
  };
}

export function fencedHostAgents(hostAgents: HostAgentClient, leads: () => boolean): HostAgentClient {
  const refused = (): Promise<never> =>
    Promise.reject(new HostAgentError(503, 'NotLeader', 'this process does not lead any more, so nothing was sent'));
  return {
    load: (...call) => (leads() ? hostAgents.load(...call) : refused()),
    kill: (...call) => (leads() ? hostAgents.kill(...call) : refused()),
    prefetch: (...call) => (leads() ? hostAgents.prefetch(...call) : refused()),
    prefetches: (...call) => hostAgents.prefetches(...call),
    logs: (...call) => hostAgents.logs(...call),
    reset: (...call) => hostAgents.reset(...call),
    events: (...call) => hostAgents.events(...call),
  };
}
