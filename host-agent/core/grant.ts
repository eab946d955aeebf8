import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import type { LoadGrant, PrefetchGrant } from '@warmpool/protocol/host-agent-api.ts';
import { grantPayload, prefetchGrantPayload } from '@warmpool/protocol/host-agent-api.ts';
import { hostError } from '../errors.ts';

/** A claim may take at most ten minutes; a grant beyond that means that two clocks disagree. */
const MAX_LIFETIME_MS = 15 * 60_000;
const MAX_NONCES = 100_000;

/**
 * Lets each grant through once: signed with the key that operator and host-agents share, not expired, not seen before. Nonces are
 * forgotten when their grant has expired, and by a restart; after that the pod's own state refuses, since it accepts one load.
 */
export class GrantGate {
  /** The newest first. */
  #keys: KeyObject[];
  /** Nonce to expiry. Grants are made with about the same lifetime, so the oldest come first. */
  readonly #seen = new Map<string, number>();

  constructor(key: Buffer) {
    this.#keys = [createSecretKey(key)];
  }

  /** Grants that were signed with the key before this one are let through still. */
  replaceKey(key: Buffer): void {
    const newest = createSecretKey(key);
    if (!this.#keys[0]?.equals(newest)) this.#keys = [newest, ...this.#keys.slice(0, 1)];
  }

  admit(grant: LoadGrant, nowUnixMs: number): void {
    this.#admit(grant, grantPayload(grant), nowUnixMs);
  }

  admitPrefetch(grant: PrefetchGrant, digest: string, nowUnixMs: number): void {
    this.#admit(grant, prefetchGrantPayload(digest, grant), nowUnixMs);
  }

  #admit(grant: LoadGrant | PrefetchGrant, payload: string, nowUnixMs: number): void {
    const { signature } = grant;
    const given = Buffer.from(signature, 'hex');
    const isSigned = this.#keys.some((key) =>
      timingSafeEqual(createHmac('sha256', key).update(payload).digest(), given),
    );
    if (!isSigned) {
      throw hostError.badGrant('has a wrong signature: operator and host-agent must have the same grant key');
    }
    if (grant.expiresAtUnixMs <= nowUnixMs) {
      throw hostError.badGrant('has expired: if its claim is new, the clocks of operator and node disagree');
    }
    if (grant.expiresAtUnixMs > nowUnixMs + MAX_LIFETIME_MS) {
      throw hostError.badGrant('expires too far in the future: check the clocks of operator and node');
    }
    this.#forgetExpired(nowUnixMs);
    if (this.#seen.has(grant.nonce)) throw hostError.badGrant('has been used before');
    if (this.#seen.size >= MAX_NONCES) throw hostError.badGrant('comes on top of too many others; try again later');
    this.#seen.set(grant.nonce, grant.expiresAtUnixMs);
  }

  /** Amortised: looks at the oldest until one is still valid, and at all of them only when the memory is full. */
  #forgetExpired(nowUnixMs: number): void {
    const isFull = this.#seen.size >= MAX_NONCES;
    for (const [nonce, expiresAtUnixMs] of this.#seen) {
      if (expiresAtUnixMs <= nowUnixMs) this.#seen.delete(nonce);
      else if (!isFull) return;
    }
  }
}
