import { describe, expect, test } from 'vitest';
import { parseConfig } from './config.ts';
import { SETTINGS, usage } from './settings.ts';

const REQUIRED = ['--listen', 'unix:/run/a.sock', '--cache-dir', '/c', '--pods-dir', '/p', '--grant-key-file', '/k'];

describe('the configuration', () => {
  test('is told, setting by setting, with what holds when nobody sets it', () => {
    const lines = usage().split('\n');
    expect(lines).toHaveLength(SETTINGS.length + 2);
    for (const line of lines.slice(1, -1)) expect(line).toMatch(/^  --[a-z0-9-]+ +\w.{9,}/);
    expect(usage()).toMatch(/--cache-bytes +of code .*; default 10737418240\n/);
    expect(usage()).toMatch(/--allow-file-root +a folder .*; repeatable\n/);
    expect(SETTINGS.filter(({ kind }) => kind === 'switch').map(({ name }) => name)).toEqual([
      'allowLoopbackSources',
      'parentLifeline',
    ]);
  });

  test('takes flags first, then the environment, then defaults', () => {
    const config = parseConfig(
      [...REQUIRED, '--node-name', 'n1', '--allow-file-root', '/a', '--allow-file-root', '/b'],
      {
        WARMPOOL_HOST_AGENT_NODE_NAME: 'n2',
        WARMPOOL_HOST_AGENT_FETCH_CONCURRENCY: '3',
        WARMPOOL_HOST_AGENT_PARENT_LIFELINE: 'true',
      },
    );
    expect(config).toMatchObject({
      listen: { kind: 'unix', path: '/run/a.sock' },
      nodeName: 'n1',
      fetchConcurrency: 3,
      parentLifeline: true,
      allowFileRoot: ['/a', '/b'],
      allowLoopbackSources: false,
      store: { kind: 'none' },
    });
  });

  test('reads an s3 store with its credentials from the environment', () => {
    const store = 's3://code?endpoint=http://minio:9000&region=eu';
    const config = parseConfig([...REQUIRED, '--store', store, '--allow-s3-bucket', 'more'], {
      AWS_ACCESS_KEY_ID: 'id',
      AWS_SECRET_ACCESS_KEY: 'key',
    });
    const credentials = { kind: 'static', credentials: { accessKeyId: 'id', secretAccessKey: 'key' } };
    const options = { region: 'eu', addressing: 'path', credentials };
    expect(config.store).toMatchObject({ kind: 's3', bucket: 'code', options });
    expect(config.otherBuckets).toMatchObject([{ bucket: 'more', options }]);
  });

  test('is of a cluster with --csi-socket or --host-path-dir, else of local mode', () => {
    expect(parseConfig(REQUIRED, {}).cluster).toBeUndefined();
    const flags = ['--csi-socket', '/run/csi.sock', '--mount-helper', '/bin/mount-helper'];
    expect(parseConfig([...REQUIRED, ...flags], {}).cluster).toEqual({
      csi: { csiSocket: '/run/csi.sock', registrationDir: '/var/lib/kubelet/plugins_registry' },
      kubeletDir: '/var/lib/kubelet',
      mountHelper: '/bin/mount-helper',
    });
    const env = { WARMPOOL_HOST_AGENT_HOST_PATH_DIR: '/run/shared', WARMPOOL_HOST_AGENT_MOUNT_HELPER: '/m' };
    expect(parseConfig(REQUIRED, env).cluster).toMatchObject({ hostPathDir: '/run/shared' });
  });

  test.each([
    [['--csi-socket', '/c.sock'], /^--mount-helper is required with --csi-socket or --host-path-dir/],
    [['--csi-socket', 'c.sock'], /^--csi-socket: must be an absolute path/],
    [['--csi-socket', `/${'x'.repeat(110)}`], /^--csi-socket: must have at most 107 bytes/],
    [['--kubelet-dir', '/k/'], /^--kubelet-dir: must be an absolute path without a "\/" at its end/],
    [
      ['--csi-socket', '/c.sock', '--mount-helper', '/m', '--pods-dir', `/${'p'.repeat(60)}`],
      /^--pods-dir: must have at most 49 bytes/,
    ],
    [['--cache-sise', '1'], /Unknown option '--cache-sise'/],
    [['--cache-bytes', 'many'], /^--cache-bytes: /],
    [['--cache-bytes', '0'], /^--cache-bytes: /],
    [['--listen', 'nowhere'], /^--listen: must be unix:\/path or host:port/],
    [['--listen', '0.0.0.0:80'], /^--listen: must be a loopback address/],
    [['--peer-listen', '10.0.0.1:8444'], /^--peer-listen: must be a loopback address without --tls-dir/],
    [['--peer-listen', '0.0.0.0:8444'], /^--peer-listen: must be the host:port at which other nodes reach this one/],
    [['--peer-listen', 'unix:/run/p.sock'], /^--peer-listen: must be the host:port/],
    [['--peer-connections', '0'], /^--peer-connections: /],
    [['--store', 'ftp://x'], /^--store must be folder:/],
    [['--store', 's3://bucket'], /^--store must be folder:/],
    [['--allow-s3-bucket', 'x'], /needs an s3 store/],
    [['--mirror', 'http://cache'], /^--mirror needs an s3 store/],
    [['--mirror', 'ftp://cache'], /^--mirror: must be an http/],
    [['--store', 's3://b?endpoint=http://m&addressing=odd'], /addressing must be path or virtual/],
    [['--store', 's3://b?endpoint=http://m&credentials=web-identity'], /needs AWS_ROLE_ARN and/],
    [['--store', 's3://b?endpoint=http://m&credentials=magic'], /credentials must be auto, environment/],
    [['--apiserver', 'https://kube'], /^--apiserver needs --service-account-dir/],
    [['--service-account-dir', '/sa'], /--apiserver is required/],
    [['--service-account-dir', '/sa', '--apiserver', 'http://10.0.0.1'], /^--apiserver: must be an https/],
    [['--service-account-dir', '/sa', '--apiserver', 'kube:443'], /^--apiserver: must be an https/],
    [['stray'], /Unexpected argument 'stray'/],
  ])('refuses %j with a sentence', (flags, words) => {
    expect(() => parseConfig([...REQUIRED, ...flags], {})).toThrow(words);
  });

  test('names a flag that is missing', () => {
    expect(() => parseConfig(REQUIRED.slice(2), {})).toThrow('--listen is required');
  });

  test('finds the apiserver where Kubernetes says it is', () => {
    const flags = [...REQUIRED, '--service-account-dir', '/sa'];
    const kubernetes = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    expect(parseConfig(flags, kubernetes).apiserver).toEqual({
      url: new URL('https://[fd00::1]:6443'),
      serviceAccountDir: '/sa',
    });
    expect(parseConfig(REQUIRED, kubernetes).apiserver).toBeUndefined();
  });

  test('listens on a network only with certificates, and then needs no key file', () => {
    const flags = ['--listen', '10.1.2.3:8443', ...REQUIRED.slice(2, 6)];
    expect(() => parseConfig(flags, {})).toThrow('--listen: must be a loopback address or a socket without --tls-dir');
    const config = parseConfig([...flags, '--tls-dir', '/tls', '--ops-listen', '10.1.2.3:8081'], {});
    expect(config).toMatchObject({ tlsDir: '/tls', opsListen: { kind: 'tcp', host: '10.1.2.3', port: 8081 } });
    expect(() => parseConfig(REQUIRED.slice(0, 6), {})).toThrow('--grant-key-file is required');
  });
});
