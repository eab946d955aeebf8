import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { claimRequestSchema } from '@warmpool/protocol/claim-api.ts';
import { LABEL_STATE } from '@warmpool/protocol/names.ts';
import { kubeconfig } from './stand-in/operator-process.ts';
import { MANIFESTS } from '../support/overlay.ts';
import { Kubectl } from './kubectl.ts';

const access = inject('apiserver');
const binary = inject('kubectl');
const REPOSITORY = join(MANIFESTS, '..');
const run = promisify(execFile);

/** In the place of programs that need a Docker engine, or a cluster with nodes: they note how they are called. */
const NOTE = `printf '%s %s\\n' "\${0##*/}" "$*" >>"$CALLS"`;
const STAND_INS = {
  docker: NOTE,
  kind: NOTE,
  curl: `${NOTE}\ncat >"$CALLS.body"`,
  kubectl: `${NOTE}
case "$*" in
  'apply '*) exec "$KUBECTL" "$@" --dry-run=server ;;
  *' create token '*) echo the-token ;;
  *' --output jsonpath='*) echo 10.1.2.3 ;;
esac`,
};

interface KindConfig {
  name: string;
  nodes: {
    extraPortMappings: { containerPort: number; hostPort: number }[];
    extraMounts: { hostPath: string; containerPath: string }[];
  }[];
}

interface Installed {
  kind: string;
  metadata: { name: string; namespace?: string };
  data?: Record<string, string>;
  spec?: {
    ports?: { nodePort?: number }[];
    template?: { spec: { containers: { image: string; imagePullPolicy?: string }[] } };
  };
}

/** No machine of CI can have kind: everything else of the page is run, or looked up. */
describe.skipIf(access === undefined || binary === undefined)('docs/kind.md', () => {
  let folder: string;
  let calls: string[];
  let output: string;
  let claim: string;
  let installed: Installed[];
  let config: KindConfig;

  beforeAll(async () => {
    if (access === undefined || binary === undefined) throw new Error('no apiserver or kubectl on this machine');
    await using kubectl = await Kubectl.start(binary, access);
    // a dry run is refused when the namespace that an object goes to is only tried, too
    await kubectl.run('apply', '-k', join(MANIFESTS, 'overlays/default'));
    installed = parseAllDocuments(await kubectl.run('kustomize', join(MANIFESTS, 'overlays/dev'))).map(
      (document) => document.toJS() as Installed,
    );
    folder = await mkdtemp(join(tmpdir(), 'warmpool-kind-page-'));
    for (const [name, script] of Object.entries(STAND_INS)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, name), 0o755);
    }
    const kubeconfigPath = join(folder, 'kubeconfig');
    await writeFile(kubeconfigPath, kubeconfig(access), { mode: 0o600 });
    const page = await readFile(join(REPOSITORY, 'docs/kind.md'), 'utf8');
    const script = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('\n');
    const env = {
      PATH: `${folder}:${process.env['PATH']}`,
      HOME: folder,
      KUBECONFIG: kubeconfigPath,
      KUBECTL: binary,
      CALLS: join(folder, 'calls'),
    };
    ({ stdout: output } = await run('bash', ['-euo', 'pipefail', '-c', script], { cwd: REPOSITORY, env }));
    calls = (await readFile(env.CALLS, 'utf8')).trim().split('\n');
    claim = await readFile(`${env.CALLS}.body`, 'utf8');
    config = parse(await readFile(join(REPOSITORY, argument('kind create', '--config')), 'utf8')) as KindConfig;
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const callsOf = (start: string): string[] => calls.filter((call) => call.startsWith(start));
  const argument = (start: string, flag: string): string =>
    new RegExp(`${flag}[= ](\\S+)`).exec(callsOf(start)[0] ?? '')?.[1] ?? `no ${flag} in ${start}`;
  const find = (kind: string, name: string): Installed | undefined =>
    installed.find((each) => each.kind === kind && each.metadata.name === name);
  const aPool = async (): Promise<Installed> =>
    parse(await readFile(join(REPOSITORY, argument('kubectl apply --filename', '--filename')), 'utf8')) as Installed;

  test('leads to a claim in under ten commands', () => {
    // three builds are one command, and so are the programs inside of the two that curl
    const commands = new Set(calls.map((call) => call.replace(/^docker build.*/, 'docker build')));
    const inner = [...commands].filter((call) => / create token | jsonpath=/.test(call));
    expect(inner).toHaveLength(2);
    expect(commands.size - inner.length).toBeLessThan(10);
  });

  test('builds and loads every image that the overlay and the pool name, and none is pulled', async () => {
    const built = callsOf('docker build').map((call) => /--file (\S+) --tag (\S+) \.$/.exec(call)?.slice(1) ?? []);
    for (const [file = '', tag] of built) {
      expect(await readFile(join(REPOSITORY, file), 'utf8')).toContain(`docker build -f ${file} -t ${tag} .`);
    }
    const loaded = (callsOf('kind load')[0] ?? '').split(' ').slice(5);
    expect(loaded).toEqual(built.map(([, tag]) => tag));
    const containers = [...installed, await aPool()].flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
    expect(new Set(containers.map(({ image }) => image))).toEqual(new Set(loaded));
    expect(argument('kind load', '--name')).toBe(config.name);
    const pulling = installed.flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
    expect(pulling.filter(({ imagePullPolicy }) => imagePullPolicy !== 'Never')).toEqual([]);
  });

  test('a real apiserver takes the overlay and the pool', async () => {
    expect(output.split('\n').filter((line) => line.includes('server dry run')).length).toBeGreaterThan(20);
    expect(output).toContain('warmpool.warmpool.dev/nodejs created (server dry run)');
    expect(callsOf('kubectl apply')).toHaveLength(2);
    const { metadata } = await aPool();
    expect(callsOf('kubectl --namespace').filter((call) => call.includes(' wait '))[0]).toContain(
      `--namespace ${metadata.namespace} wait warmpool/${metadata.name} --for=condition=Ready`,
    );
    expect(callsOf('kubectl --namespace warmpool-node rollout status daemonset/warmpool-host-agent')).toHaveLength(1);
    expect(find('DaemonSet', 'warmpool-host-agent')?.metadata.namespace).toBe('warmpool-node');
  });

  test('the claim is one that the API takes, for code that the node has, by a token of an account that may', async () => {
    const { pathname, port, hostname } = new URL(/http:\S+/.exec(callsOf('curl')[0] ?? '')?.[0] ?? '');
    const { metadata } = await aPool();
    expect(pathname).toBe(`/v1/pools/${metadata.namespace}/${metadata.name}/claims`);
    const [node] = config.nodes;
    expect(hostname).toBe('127.0.0.1');
    expect(node?.extraPortMappings).toMatchObject([
      { hostPort: Number(port), containerPort: find('Service', 'warmpool-claims')?.spec?.ports?.[0]?.nodePort },
    ]);
    expect(callsOf('curl')[0]).toContain('authorization: Bearer the-token');
    expect(find('ServiceAccount', 'platform')?.metadata.namespace).toBe(metadata.namespace);
    expect(find('RoleBinding', 'platform')).toMatchObject({
      metadata: { namespace: metadata.namespace },
      roleRef: { name: 'warmpool-claimer' },
      subjects: [{ name: 'platform', namespace: metadata.namespace }],
    });

    const { code } = claimRequestSchema.parse(JSON.parse(claim));
    const [mount] = node?.extraMounts ?? [];
    const store = find('ConfigMap', 'warmpool-host-agent')?.data?.['WARMPOOL_HOST_AGENT_STORE'];
    expect(store).toBe(`folder:${mount?.containerPath}`);
    const file = join(REPOSITORY, mount?.hostPath ?? '', code.key ?? '');
    expect((await stat(file)).isFile()).toBe(true);
    const { stdout } = await run('sha256sum', [file]);
    expect(code.digest).toBe(`sha256:${stdout.split(' ')[0]}`);
  });

  test('the instance is asked at its pod’s serving port, from the node', () => {
    const [exec = ''] = callsOf('docker exec');
    expect(exec).toContain(`docker exec ${config.name}-control-plane curl `);
    expect(exec).toMatch(/ http:\/\/10\.1\.2\.3:8080$/);
    expect(calls.filter((call) => call.includes(` --selector ${LABEL_STATE}=claimed `))).toHaveLength(1);
  });
});
