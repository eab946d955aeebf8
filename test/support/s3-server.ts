import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AwsClient } from 'aws4fetch';
import { freePort } from './free-port.ts';

const VERSION = '1.8.0';
const MODULE = fileURLToPath(new URL('./tools/versitygw', import.meta.url));
const START_LIMIT_MS = 15_000;
const BUILD_LIMIT_MS = 300_000;

export const S3_CREDENTIALS = { accessKeyId: 'test-access', secretAccessKey: 'test-secret' };

export interface S3Server {
  endpoint: string;
  credentials: typeof S3_CREDENTIALS;
  /** Replaces all users but the one above: by access key id, each with its secret. */
  setUsers(users: Record<string, string>): void;
  close(): Promise<void>;
}

/** A bucket by its name, or an object by bucket and key; for filling a store. */
export async function s3Put(
  { endpoint, credentials }: Pick<S3Server, 'endpoint' | 'credentials'>,
  path: string,
  body?: Buffer,
): Promise<void> {
  const client = new AwsClient({ ...credentials, service: 's3', region: 'us-east-1' });
  const url = `${endpoint}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const sent = body === undefined ? {} : { body: new Uint8Array(body) };
  const answer = await client.fetch(url, { method: 'PUT', ...sent });
  if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`);
}

/** Lets one user read the objects of a bucket, and nobody else but whom it belongs to. */
export async function s3Allow(
  { endpoint, credentials }: Pick<S3Server, 'endpoint' | 'credentials'>,
  bucket: string,
  user: string,
): Promise<void> {
  const statement = { Effect: 'Allow', Principal: { AWS: [user] }, Action: ['s3:GetObject'] };
  const policy = { Version: '2012-10-17', Statement: [{ ...statement, Resource: [`arn:aws:s3:::${bucket}/*`] }] };
  const client = new AwsClient({ ...credentials, service: 's3', region: 'us-east-1' });
  const answer = await client.fetch(`${endpoint}/${bucket}?policy`, { method: 'PUT', body: JSON.stringify(policy) });
  if (!answer.ok) throw new Error(`PUT policy of ${bucket}: ${answer.status} ${await answer.text()}`);
}

/** A real S3-compatible server (versitygw on a folder) on loopback; undefined, and one line that says so, where Go is missing. */
export async function startS3Server(): Promise<S3Server | undefined> {
  const binary = findOrBuildS3Server();
  if (binary === undefined) {
    process.stdout.write('skipped: S3 tests: go not found\n');
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'warmpool-s3-'));
  const credentials = S3_CREDENTIALS;
  const users = mkdtempSync(join(tmpdir(), 'warmpool-s3-users-'));
  const setUsers = (secrets: Record<string, string>): void => {
    const accounts = Object.entries(secrets).map(([access, secret]) => [access, { access, secret, role: 'user' }]);
    const path = join(users, 'users.json');
    writeFileSync(`${path}.new`, JSON.stringify({ accessAccounts: Object.fromEntries(accounts) as object }));
    renameSync(`${path}.new`, path);
  };
  setUsers({});
  const port = await freePort();
  const access = ['--iam-dir', users, '--iam-cache-disable'];
  const child = spawn(binary, ['--port', `127.0.0.1:${port}`, '--quiet', ...access, 'posix', folder], {
    stdio: 'ignore',
    env: { ROOT_ACCESS_KEY: credentials.accessKeyId, ROOT_SECRET_KEY: credentials.secretAccessKey },
  });
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    for (const made of [folder, users]) rmSync(made, { recursive: true, force: true });
  };
  try {
    await untilListening(child, port);
  } catch (error) {
    await close();
    throw error;
  }
  return { endpoint: `http://127.0.0.1:${port}`, credentials, setUsers, close };
}

/** Built once for each version, outside of the checkout; a second process that builds at the same time does no harm. */
export function findOrBuildS3Server(): string | undefined {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'warmpool', 'bin');
  const binary = join(cache, `versitygw-${VERSION}`);
  if (existsSync(binary)) return binary;
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) return undefined;
  mkdirSync(cache, { recursive: true });
  const building = `${binary}.${process.pid}`;
  const { status, stderr } = spawnSync(
    'go',
    ['build', '-mod=mod', '-buildvcs=false', '-trimpath', '-o', building, 'github.com/versity/versitygw/cmd/versitygw'],
    { cwd: MODULE, env: { ...process.env, CGO_ENABLED: '0' }, timeout: BUILD_LIMIT_MS, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`building versitygw ${VERSION} failed: ${stderr}`);
  renameSync(building, binary);
  return binary;
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`versitygw ended with code ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error(`versitygw does not listen after ${START_LIMIT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
