import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface KeyPair {
  certPath: string;
  keyPath: string;
}

export interface Certificates {
  caPath: string;
  caKeyPath: string;
  serviceAccountKeyPath: string;
  serviceAccountPublicPath: string;
  /** A certificate that serves and connects; `<name>.crt` and `<name>.key` in the folder. */
  issue: (name: string, subject: string, alternativeNames?: string[]) => Promise<KeyPair>;
}

/** A CA and a key for service account tokens, for one run. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const path = (name: string): string => join(folder, name);
  const openssl = async (...args: string[]): Promise<void> => {
    await promisify(execFile)('openssl', args, { cwd: folder, timeout: 30_000 });
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=test-ca');
  await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'sa.key');
  await openssl('ec', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
  return {
    caPath: path('ca.crt'),
    caKeyPath: path('ca.key'),
    serviceAccountKeyPath: path('sa.key'),
    serviceAccountPublicPath: path('sa.pub'),
    async issue(name, subject, alternativeNames = ['DNS:localhost']) {
      await openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
      const extensions = `subjectAltName=${alternativeNames.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`;
      await writeFile(path(`${name}.ext`), extensions);
      const files = ['-in', `${name}.csr`, '-out', `${name}.crt`, '-extfile', `${name}.ext`];
      await openssl('x509', '-req', ...files, ...sign);
      return { certPath: path(`${name}.crt`), keyPath: path(`${name}.key`) };
    },
  };
}
