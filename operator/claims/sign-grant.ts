import { createHmac, type KeyObject } from 'node:crypto';
import {
  grantPayload,
  prefetchGrantPayload,
  type LoadGrant,
  type PrefetchGrant,
} from '@warmpool/protocol/host-agent-api.ts';

export function signLoad(key: KeyObject, grant: Omit<LoadGrant, 'signature'>): LoadGrant {
  return { ...grant, signature: sign(key, grantPayload(grant)) };
}

export function signPrefetch(key: KeyObject, digest: string, grant: Omit<PrefetchGrant, 'signature'>): PrefetchGrant {
  return { ...grant, signature: sign(key, prefetchGrantPayload(digest, grant)) };
}

function sign(key: KeyObject, payload: string): string {
  return createHmac('sha256', key).update(payload).digest('hex');
}
