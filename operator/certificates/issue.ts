import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { AUTHORITY_LIFETIME_MS, BACKDATED_MS, LEAF_LIFETIME_MS } from '../core/certificate-plan.ts';

/** PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
type X509 = typeof import('@peculiar/x509');

/** A quarter of a second and 17 MB: loaded only by whoever has to issue something. */
async function library(): Promise<X509> {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  return x509;
}

/** A certificate authority for operator and host-agents of this installation and nobody else. */
export async function issueAuthority(nowUnixMs: number): Promise<KeyPair> {
  const x509 = await library();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=warmpool ${randomBytes(4).toString('hex')}`,
    ...validity(nowUnixMs, nowUnixMs + AUTHORITY_LIFETIME_MS),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString('pem'), key: await privateKeyPem(keys) };
}

/** Proves that its holder is `dnsName`, as a server, as a client, or as both. */
export async function issueLeaf(
  authority: KeyPair,
  dnsName: string,
  role: 'server' | 'client' | 'both',
  nowUnixMs: number,
): Promise<KeyPair> {
  const x509 = await library();
  const issuer = new x509.X509Certificate(authority.cert);
  const pkcs8 = createPrivateKey(authority.key).export({ type: 'pkcs8', format: 'der' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', Uint8Array.from(pkcs8), ALGORITHM, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${dnsName}`,
    issuer: issuer.subject,
    ...validity(nowUnixMs, Math.min(nowUnixMs + LEAF_LIFETIME_MS, issuer.notAfter.getTime())),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        ...(role === 'client' ? [] : [x509.ExtendedKeyUsage.serverAuth]),
        ...(role === 'server' ? [] : [x509.ExtendedKeyUsage.clientAuth]),
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: dnsName }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { cert: certificate.toString('pem'), key: await privateKeyPem(keys) };
}

function validity(fromUnixMs: number, untilUnixMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(fromUnixMs - BACKDATED_MS), notAfter: new Date(untilUnixMs) };
}

/** Positive, and never the same twice. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function privateKeyPem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
