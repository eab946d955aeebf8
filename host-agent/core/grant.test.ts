import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { LoadGrant, PrefetchGrant } from '@warmpool/protocol/host-agent-api.ts';
import { grantPayload, loadGrantSchema, prefetchGrantPayload } from '@warmpool/protocol/host-agent-api.ts';
import { GrantGate } from './grant.ts';

const KEY = Buffer.from('0123456789abcdef');

function aGrant(overrides: Record<string, unknown> = {}, key = KEY): LoadGrant {
  const grant = loadGrantSchema.omit({ signature: true }).parse({
    podUid: 'pod-1',
    epoch: 'e1',
    claimId: 'claim-1',
    fence: 3,
    expiresAtUnixMs: 10_000,
    nonce: '0'.repeat(32),
    ...overrides,
  });
  return { ...grant, signature: createHmac('sha256', key).update(grantPayload(grant)).digest('hex') };
}

describe('a load grant', () => {
  test('is let through once', () => {
    const gate = new GrantGate(KEY);
    gate.admit(aGrant(), 0);
    expect(() => gate.admit(aGrant(), 9_999)).toThrow('has been used before');
    gate.admit(aGrant({ nonce: '1'.repeat(32) }), 0);
  });

  test.each(['podUid', 'epoch', 'claimId', 'nonce'] as const)('with another %s than was signed is refused', (field) => {
    const changed: LoadGrant = { ...aGrant(), [field]: field === 'nonce' ? 'f'.repeat(32) : 'other' };
    expect(() => new GrantGate(KEY).admit(changed, 0)).toThrow('wrong signature');
  });

  test('with another fence or expiry, or of another key, is refused', () => {
    const gate = new GrantGate(KEY);
    expect(() => gate.admit({ ...aGrant(), fence: 4 }, 0)).toThrow('wrong signature');
    expect(() => gate.admit({ ...aGrant(), expiresAtUnixMs: 20_000 }, 0)).toThrow('wrong signature');
    expect(() => gate.admit(aGrant({}, Buffer.from('another key 0123')), 0)).toThrow('wrong signature');
  });

  test('that has expired, or would be remembered for hours, is refused', () => {
    const gate = new GrantGate(KEY);
    expect(() => gate.admit(aGrant(), 10_000)).toThrow('has expired');
    expect(() => gate.admit(aGrant({ expiresAtUnixMs: 3_600_001 }), 0)).toThrow('too far in the future');
  });

  test('of the key before the present one is let through, of the one before that no more', () => {
    const [second, third] = [Buffer.from('second key 01234'), Buffer.from('third key 012345')];
    const gate = new GrantGate(KEY);
    gate.replaceKey(second);
    gate.admit(aGrant(), 0);
    gate.admit(aGrant({ nonce: '1'.repeat(32) }, second), 0);
    gate.replaceKey(second);
    gate.replaceKey(third);
    gate.admit(aGrant({ nonce: '2'.repeat(32) }, second), 0);
    gate.admit(aGrant({ nonce: '3'.repeat(32) }, third), 0);
    expect(() => gate.admit(aGrant({ nonce: '4'.repeat(32) }), 0)).toThrow('wrong signature');
    expect(() => gate.admit(aGrant({ nonce: '1'.repeat(32) }, second), 0)).toThrow('has been used before');
  });
});

describe('a grant for a pool’s Secret', () => {
  const access = { namespace: 'team-a', secretName: 'code' };
  const store = 's3://bucket?endpoint=https://store.example.com';

  test('lets through that Secret with that store, and no other', () => {
    const signed = aGrant({ access });
    for (const forged of [
      { namespace: 'team-b', secretName: 'code' },
      { namespace: 'team-a', secretName: 'other' },
      { ...access, store },
      undefined,
    ]) {
      expect(() => new GrantGate(KEY).admit({ ...signed, access: forged }, 0)).toThrow('wrong signature');
    }
    expect(() => new GrantGate(KEY).admit({ ...aGrant(), access }, 0)).toThrow('wrong signature');
    new GrantGate(KEY).admit(signed, 0);
  });

  test('of a load is none for a prefetch, nor the other way round', () => {
    const times = { expiresAtUnixMs: 10_000, nonce: '0'.repeat(32) };
    const digest = `sha256:${'a'.repeat(64)}`;
    const payload = prefetchGrantPayload(digest, { access, ...times });
    const prefetch: PrefetchGrant = {
      access,
      ...times,
      signature: createHmac('sha256', KEY).update(payload).digest('hex'),
    };
    const other = `sha256:${'b'.repeat(64)}`;
    expect(() => new GrantGate(KEY).admitPrefetch(prefetch, other, 0)).toThrow('wrong signature');
    const load = aGrant({ access });
    expect(() => new GrantGate(KEY).admitPrefetch({ ...prefetch, signature: load.signature }, digest, 0)).toThrow(
      'wrong signature',
    );
    expect(() => new GrantGate(KEY).admit({ ...load, signature: prefetch.signature }, 0)).toThrow('wrong signature');
    const gate = new GrantGate(KEY);
    gate.admitPrefetch(prefetch, digest, 0);
    expect(() => gate.admitPrefetch(prefetch, digest, 0)).toThrow('has been used before');
  });
});
