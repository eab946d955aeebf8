import { OPERATOR_TLS_NAME } from '@warmpool/protocol/names.ts';
import { isLeafDue } from '../core/certificate-plan.ts';
import { SECRETS, type Secret } from '../core/resources.ts';
import { sleep, type Clock } from '../engine/clock.ts';
import { isKubeError, type KubeClient, type Stored } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';
import {
  isSignedBy,
  lifetime,
  renewedAuthority,
  renewedHostAgent,
  signer,
  type AuthorityFiles,
  type HostAgentFiles,
} from './authority-secret.ts';
import { issueLeaf, type KeyPair } from './issue.ts';

export interface CertificateKeeperDeps {
  clock: Clock;
  random: Random;
  kube: KubeClient;
  log: Log;
}

export interface CertificateKeeperOptions {
  operatorNamespace: string;
  hostAgentNamespace: string;
}

/** How the operator talks to host-agents. */
export interface OperatorTls extends KeyPair {
  /** PEM, perhaps several. */
  ca: string;
  grantKey: Buffer;
}

export const AUTHORITY_SECRET = 'warmpool-authority';
export const HOST_AGENT_SECRET = 'warmpool-host-agent-tls';

const LOOK_EVERY_MS = 60_000;
const WRITE_ATTEMPTS = 5;
const START_ATTEMPTS = 8;

/**
 * Makes and renews the certificates between operator and host-agents. Every replica may: each write says which version of the Secret
 * it has seen, so of two that come together one wins and the other reads what it has made. The operator's own certificate is not
 * kept anywhere: each process issues one for itself.
 */
export class CertificateKeeper {
  readonly #deps: CertificateKeeperDeps;
  readonly #options: CertificateKeeperOptions;
  #tls: OperatorTls | undefined;

  constructor(deps: CertificateKeeperDeps, options: CertificateKeeperOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Rejects when the Secrets cannot be read or written after some attempts. */
  async first(signal: AbortSignal): Promise<OperatorTls> {
    const { clock, random, log } = this.#deps;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#look();
      } catch (error) {
        if (attempt === START_ATTEMPTS || signal.aborted) throw error;
        log.warn({ err: error }, 'the certificates are not there yet');
        await sleep(clock, jitteredBackoffMs(attempt, 250, 5_000, random), signal);
      }
    }
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal, onChange: (tls: OperatorTls) => void): Promise<void> {
    const { clock, random, log } = this.#deps;
    while (!signal.aborted) {
      await sleep(clock, LOOK_EVERY_MS * (0.5 + random()), signal).catch(() => undefined);
      if (signal.aborted) return;
      const before = this.#tls;
      try {
        const now = await this.#look();
        if (now !== before) onChange(now);
      } catch (error) {
        log.error({ err: error }, 'the certificates could not be looked after; trying again');
      }
    }
  }

  async #look(): Promise<OperatorTls> {
    const { operatorNamespace, hostAgentNamespace } = this.#options;
    const nowUnixMs = this.#deps.clock.now();
    const authority = await this.#renew<AuthorityFiles>(operatorNamespace, AUTHORITY_SECRET, (files) =>
      renewedAuthority(files, nowUnixMs),
    );
    await this.#renew<HostAgentFiles>(hostAgentNamespace, HOST_AGENT_SECRET, (files) =>
      renewedHostAgent(files, authority, nowUnixMs),
    );
    return (this.#tls = await this.#own(authority, nowUnixMs));
  }

  async #own(authority: AuthorityFiles, nowUnixMs: number): Promise<OperatorTls> {
    const { 'trusted.crt': ca = '', 'grant.key': grantKey = '', 'ca.crt': issuer } = authority;
    const before = this.#tls;
    const isGood = isSignedBy(before?.cert, issuer) && !isLeafDue(lifetime(before?.cert), nowUnixMs);
    // the bytes of the Secret's value, as the host-agents read them from its file
    const key = Buffer.from(grantKey);
    if (before !== undefined && isGood && before.ca === ca && before.grantKey.equals(key)) return before;
    const pair =
      before !== undefined && isGood
        ? before
        : await issueLeaf(signer(authority), OPERATOR_TLS_NAME, 'client', nowUnixMs);
    return { cert: pair.cert, key: pair.key, ca, grantKey: key };
  }

  /** The files of a Secret as they should be, written first if they are not. */
  async #renew<F extends { [name in keyof F]?: string }>(
    namespace: string,
    name: string,
    renew: (files: F) => Promise<F>,
  ): Promise<F> {
    const { kube, log } = this.#deps;
    for (let attempt = 1; ; attempt++) {
      const secret = await this.#read(namespace, name);
      const before = decoded(secret) as F;
      const after = await renew(before);
      if (after === before) return after;
      try {
        const { resourceVersion } = secret.metadata;
        await kube.patch<Secret>(SECRETS, namespace, name, { metadata: { resourceVersion }, data: encoded(after) });
        log.info({ namespace, secret: name }, 'certificates were renewed');
        return after;
      } catch (error) {
        // another replica was faster
        if (!isKubeError(error, 409) || attempt === WRITE_ATTEMPTS) throw error;
      }
    }
  }

  async #read(namespace: string, name: string): Promise<Stored<Secret>> {
    try {
      return await this.#deps.kube.get<Secret>(SECRETS, namespace, name);
    } catch (error) {
      if (!isKubeError(error, 404)) throw error;
      throw new Error(`Secret ${name} is missing in namespace ${namespace}: it comes, empty, with the manifests`, {
        cause: error,
      });
    }
  }
}

function decoded({ data = {} }: Secret): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [name, Buffer.from(value, 'base64').toString('utf8')]),
  );
}

function encoded(files: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).map(([name, value]) => [name, Buffer.from(String(value)).toString('base64')]),
  );
}
