import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface KeyPair {
  certPath: string;
  keyPath: string;
}

/** Makes a certificate that serves and connects; `<name>.crt` and `<name>.key` in the CA's folder. */
export type Issue = (name: string, subject: string, alternativeNames?: string[]) => Promise<KeyPair>;

export interface Certificates {
  caPath: string;
  caKeyPath: string;
  serviceAccountKeyPath: string;
  serviceAccountPublicPath: string;
  issue: Issue;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A CA and a key for service account tokens, for one run. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const path = (name: string): string => join(folder, name);
  const run = (...args: string[]): Promise<void> => openssl(folder, args);
  await run('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=test-ca');
  await run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'sa.key');
  await run('ec', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  return {
    caPath: path('ca.crt'),
    caKeyPath: path('ca.key'),
    serviceAccountKeyPath: path('sa.key'),
    serviceAccountPublicPath: path('sa.pub'),
    issue: issuerOf(folder),
  };
}

/** By the CA that `makeCertificates` made there. */
export function issuerOf(folder: string): Issue {
  return async (name, subject, alternativeNames = ['DNS:localhost']) => {
    const path = (kind: string): string => join(folder, `${name}.${kind}`);
    await openssl(folder, ['req', ...NEW_KEY, '-keyout', path('key'), '-out', path('csr'), '-subj', subject]);
    const extensions = `subjectAltName=${alternativeNames.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`;
    await writeFile(path('ext'), extensions);
    const files = ['-in', path('csr'), '-out', path('crt'), '-extfile', path('ext')];
    const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
    await openssl(folder, ['x509', '-req', ...files, ...sign]);
    return { certPath: path('crt'), keyPath: path('key') };
  };
}

async function openssl(folder: string, args: string[]): Promise<void> {
  await promisify(execFile)('openssl', args, { cwd: folder, timeout: 30_000 });
}
