import { request } from 'undici';
import { systemClock } from '../../operator/engine/clock.ts';
import { tokenKubeConfig } from '../../operator/kube/config.ts';
import { HttpKubeClient } from '../../operator/kube/http-kube-client.ts';
import type { ContractWorld } from '../contract/kube-client/world.ts';
import { AdminApi } from './admin-api.ts';
import type { ControlPlaneAccess } from './control-plane.ts';

export function apiserverClient(access: ControlPlaneAccess): HttpKubeClient {
  return new HttpKubeClient({ clock: systemClock, random: Math.random, loadConfig: () => tokenKubeConfig(access) });
}

export async function apiserverWorld(access: ControlPlaneAccess & { etcdUrl: string }): Promise<ContractWorld> {
  await using admin = new AdminApi(access);
  const client = apiserverClient(access);
  return {
    client,
    namespace: await admin.newNamespace(),
    otherNamespace: await admin.newNamespace(),
    async forgottenVersion() {
      await compactEtcd(access.etcdUrl);
      return '1';
    },
    expireContinueTokens: () => compactEtcd(access.etcdUrl),
    close: () => client.close(),
  };
}

/** Forgets all history, as the apiserver itself makes etcd do every five minutes. */
async function compactEtcd(etcdUrl: string): Promise<void> {
  const post = async (path: string, body: object): Promise<{ header: { revision: string } }> => {
    const answer = await request(`${etcdUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (answer.statusCode !== 200) throw new Error(`etcd refused ${path}: ${await answer.body.text()}`);
    return (await answer.body.json()) as { header: { revision: string } };
  };
  const key = Buffer.from('/').toString('base64');
  const { header } = await post('/v3/kv/range', { key });
  await post('/v3/kv/compaction', { revision: header.revision, physical: true });
}
