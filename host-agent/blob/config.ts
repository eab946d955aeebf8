import { ConfigError } from '../config-error.ts';
import type { S3CredentialSource } from './s3-credentials.ts';
import type { S3Options } from './s3-store.ts';

export type StoreConfig =
  { kind: 'folder'; path: string } | { kind: 's3'; bucket: string; options: S3Options } | { kind: 'none' };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `folder:/path`, or `s3://bucket?endpoint=https://…` with `region`, `addressing` (`path`, the default, or `virtual`) and `credentials`:
 * `auto` (the default: keys in the environment, else a web identity, else a container's, else unsigned), `environment`,
 * `web-identity`, `container`, `instance` or `none`.
 */
export function parseStore(text: string, env: Environment): StoreConfig {
  if (text === '') return { kind: 'none' };
  if (text.startsWith('folder:') && text.length > 'folder:'.length) return { kind: 'folder', path: text.slice(7) };
  const place = parseS3Store(text, env['AWS_REGION']);
  if (place === undefined) {
    throw new ConfigError(
      '--store must be folder:/path or s3://bucket?endpoint=http(s)://…, and its addressing must be path or virtual',
    );
  }
  const { bucket, ...where } = place;
  const kind = new URL(text).searchParams.get('credentials') ?? 'auto';
  return { kind: 's3', bucket, options: { ...where, credentials: credentialSource(kind, place.region, env) } };
}

/** A bucket and where it is; not who may read it. */
export type S3Place = Omit<S3Options, 'credentials'> & { bucket: string };

/** `s3://bucket?endpoint=https://…` with `region` and `addressing`. */
export function parseS3Store(text: string, defaultRegion = 'us-east-1'): S3Place | undefined {
  const url = text.startsWith('s3://') && URL.canParse(text) ? new URL(text) : undefined;
  const endpoint = url?.searchParams.get('endpoint') ?? '';
  if (url === undefined || url.host === '' || !/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint))
    return undefined;
  const addressing = url.searchParams.get('addressing') ?? 'path';
  if (addressing !== 'path' && addressing !== 'virtual') return undefined;
  const region = url.searchParams.get('region') ?? defaultRegion;
  return { bucket: url.host, endpoint: new URL(endpoint), region, addressing };
}

function credentialSource(kind: string, region: string, env: Environment): S3CredentialSource {
  const fromEnvironment = staticKeys(env);
  const identity = webIdentity(region, env);
  const container = containerCredentials(env);
  switch (kind) {
    case 'auto':
      return fromEnvironment ?? identity ?? container ?? { kind: 'none' };
    case 'none':
      return { kind: 'none' };
    case 'environment':
      return fromEnvironment ?? missing(kind, 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
    case 'web-identity':
      return identity ?? missing(kind, 'AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE');
    case 'container':
      return container ?? missing(kind, 'AWS_CONTAINER_CREDENTIALS_FULL_URI');
    case 'instance':
      return { kind, endpoint: new URL(env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] ?? 'http://169.254.169.254') };
    default:
      throw new ConfigError(
        '--store: credentials must be auto, environment, web-identity, container, instance or none',
      );
  }
}

function missing(kind: string, names: string): never {
  throw new ConfigError(`--store: credentials=${kind} needs ${names} in the environment`);
}

function staticKeys(env: Environment): S3CredentialSource | undefined {
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = env['AWS_SESSION_TOKEN'];
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { kind: 'static', credentials: { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) } };
}

function webIdentity(region: string, env: Environment): S3CredentialSource | undefined {
  const roleArn = env['AWS_ROLE_ARN'];
  const tokenFile = env['AWS_WEB_IDENTITY_TOKEN_FILE'];
  if (!roleArn || !tokenFile) return undefined;
  return {
    ...{ kind: 'web-identity', roleArn, tokenFile },
    stsEndpoint: new URL(env['AWS_ENDPOINT_URL_STS'] ?? `https://sts.${region}.amazonaws.com/`),
    sessionName: env['AWS_ROLE_SESSION_NAME'] ?? 'warmpool-host-agent',
  };
}

function containerCredentials(env: Environment): S3CredentialSource | undefined {
  const url = env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (!url || !URL.canParse(url)) return undefined;
  return { kind: 'container', url: new URL(url), tokenFile: env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] };
}
