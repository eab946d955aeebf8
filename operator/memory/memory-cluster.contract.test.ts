import { kubeClientContract } from '../../test/contract/kube-client/suite.ts';
import { systemClock } from '../engine/clock.ts';
import { MemoryCluster } from './memory-cluster.ts';

kubeClientContract('memory', async () => {
  const cluster = new MemoryCluster({ clock: systemClock, random: Math.random });
  return {
    client: cluster.client(),
    namespace: 'one',
    otherNamespace: 'two',
    async forgottenVersion() {
      cluster.compact();
      return '1';
    },
    expireContinueTokens: async () => cluster.compact(),
    close: async () => undefined,
  };
});
