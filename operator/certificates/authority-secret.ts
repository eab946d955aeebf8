import { randomBytes, X509Certificate } from 'node:crypto';
import { HOST_AGENT_TLS_NAME } from '@warmpool/protocol/names.ts';
import { isLeafDue, planAuthority, type Lifetime } from '../core/certificate-plan.ts';
import { issueAuthority, issueLeaf, type KeyPair } from './issue.ts';

/** What the authority's Secret holds, by the names of its keys. It never leaves the operator's namespace. */
export interface AuthorityFiles {
  /** Signs now. */
  'ca.crt'?: string;
  'ca.key'?: string;
  /** Trusted already, signs later; empty when there is none. */
  'next.crt'?: string;
  'next.key'?: string;
  /** Every authority whose certificates may still be in use. */
  'trusted.crt'?: string;
  /** Hex; signs load grants. */
  'grant.key'?: string;
}

/** What each host-agent has mounted. */
export interface HostAgentFiles {
  'tls.crt'?: string;
  'tls.key'?: string;
  'ca.crt'?: string;
  'grant.key'?: string;
}

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** The files as they should be now; the same object when nothing is to be changed. */
export async function renewedAuthority(files: AuthorityFiles, nowUnixMs: number): Promise<AuthorityFiles> {
  const grantKey = files['grant.key'] || randomBytes(32).toString('hex');
  const step = planAuthority(lifetime(files['ca.crt']), lifetime(files['next.crt']), nowUnixMs);
  switch (step) {
    case 'create': {
      const { cert, key } = await issueAuthority(nowUnixMs);
      return {
        ...{ 'ca.crt': cert, 'ca.key': key, 'next.crt': '', 'next.key': '', 'trusted.crt': cert },
        'grant.key': grantKey,
      };
    }
    case 'prepare': {
      const { cert, key } = await issueAuthority(nowUnixMs);
      return {
        ...files,
        'next.crt': cert,
        'next.key': key,
        'trusted.crt': trusted([files['trusted.crt'], cert], nowUnixMs),
      };
    }
    case 'promote':
      return {
        ...files,
        ...{ 'ca.crt': files['next.crt'] ?? '', 'ca.key': files['next.key'] ?? '', 'next.crt': '', 'next.key': '' },
        'trusted.crt': trusted([files['trusted.crt']], nowUnixMs),
      };
    case 'keep':
      return files['grant.key'] === grantKey ? files : { ...files, 'grant.key': grantKey };
  }
}

/** The same object when nothing is to be changed. */
export async function renewedHostAgent(
  files: HostAgentFiles,
  authority: AuthorityFiles,
  nowUnixMs: number,
): Promise<HostAgentFiles> {
  const { 'trusted.crt': trustedCerts = '', 'grant.key': grantKey = '' } = authority;
  const isLeafGood =
    isSignedBy(files['tls.crt'], authority['ca.crt']) &&
    !isLeafDue(lifetime(files['tls.crt']), nowUnixMs) &&
    isForClients(files['tls.crt']);
  if (isLeafGood && files['ca.crt'] === trustedCerts && files['grant.key'] === grantKey) return files;
  const { cert, key } = isLeafGood
    ? { cert: files['tls.crt'] ?? '', key: files['tls.key'] ?? '' }
    : await issueLeaf(signer(authority), HOST_AGENT_TLS_NAME, 'both', nowUnixMs);
  return { 'tls.crt': cert, 'tls.key': key, 'ca.crt': trustedCerts, 'grant.key': grantKey };
}

export function signer(authority: AuthorityFiles): KeyPair {
  return { cert: authority['ca.crt'] ?? '', key: authority['ca.key'] ?? '' };
}

/** `undefined` for what is missing or no certificate. */
export function lifetime(cert: string | undefined): Lifetime | undefined {
  const parsed = parse(cert);
  return parsed && { notBeforeUnixMs: Date.parse(parsed.validFrom), notAfterUnixMs: Date.parse(parsed.validTo) };
}

export function isSignedBy(cert: string | undefined, authority: string | undefined): boolean {
  const [leaf, issuer] = [parse(cert), parse(authority)];
  return leaf !== undefined && issuer !== undefined && leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
}

/** One host-agent is also the client of another. */
function isForClients(cert: string | undefined): boolean {
  return parse(cert)?.keyUsage?.includes(CLIENT_AUTH) === true;
}

function trusted(bundles: (string | undefined)[], nowUnixMs: number): string {
  const certs = bundles.join('\n').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return certs.filter((cert) => (lifetime(cert)?.notAfterUnixMs ?? 0) > nowUnixMs).join('\n');
}

function parse(cert: string | undefined): X509Certificate | undefined {
  if (!cert) return undefined;
  try {
    return new X509Certificate(cert);
  } catch {
    return undefined;
  }
}
