import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificates {
  caPath: string;
  certPath: string;
  keyPath: string;
  serviceAccountKeyPath: string;
  serviceAccountPublicPath: string;
}

/** A CA, a serving certificate for loopback and a key for service account tokens, for one run. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const path = (name: string): string => join(folder, name);
  const openssl = async (...args: string[]): Promise<void> => {
    await promisify(execFile)('openssl', args, { cwd: folder, timeout: 30_000 });
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=test-ca');
  await openssl('req', ...newKey, '-keyout', 'tls.key', '-out', 'tls.csr', '-subj', '/CN=kube-apiserver');
  await writeFile(path('tls.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n');
  const sign = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'tls.ext'];
  await openssl('x509', '-req', '-in', 'tls.csr', '-out', 'tls.crt', ...sign);
  await openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'sa.key');
  await openssl('ec', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
  return {
    caPath: path('ca.crt'),
    certPath: path('tls.crt'),
    keyPath: path('tls.key'),
    serviceAccountKeyPath: path('sa.key'),
    serviceAccountPublicPath: path('sa.pub'),
  };
}
