import { ConfigError } from '../config-error.ts';
import { isLoopbackHost } from '../core/source-address.ts';
import type { ApiserverOptions } from './apiserver.ts';

/** Where pools' Secrets are read; nothing without `--service-account-dir`. */
export function apiserverOptions(
  serviceAccountDir: string | undefined,
  named: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { apiserver?: ApiserverOptions } {
  if (serviceAccountDir === undefined) {
    if (named !== undefined) throw new ConfigError('--apiserver needs --service-account-dir');
    return {};
  }
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const origin = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`;
  if (named === undefined && (host === '' || !URL.canParse(origin))) {
    throw new ConfigError('--service-account-dir: --apiserver is required where Kubernetes does not say where it is');
  }
  if (named !== undefined && !(/^https?:\/\//.test(named) && URL.canParse(named))) {
    throw new ConfigError('--apiserver: must be an https:// URL');
  }
  const url = new URL(named ?? origin);
  if (url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    throw new ConfigError('--apiserver: must be an https:// URL: a token goes there, and Secrets come back');
  }
  return { apiserver: { url, serviceAccountDir } };
}
