import { readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Kubectl, until } from './kubectl.ts';

const access = inject('cluster');
const READY_LIMIT_MS = 60_000;
const COLD_PODS = 3;

interface PodObject {
  metadata: { name: string; uid: string };
  status: { podIP: string; conditions?: { type: string; status: string }[] };
}

describe.skipIf(access === undefined)('pods of the runtime images in a restricted namespace', () => {
  let kubectl: Kubectl;
  let namespace: string;

  beforeAll(async () => {
    if (access === undefined) return;
    kubectl = new Kubectl(access);
    namespace = await kubectl.newRestrictedNamespace();
  });
  afterAll(async () => {
    if (access !== undefined) await kubectl.run(['delete', 'namespace', namespace, '--wait=false']);
  });

  const ready = async (name: string): Promise<PodObject> => {
    const wait = ['wait', `pod/${name}`, '--for=condition=Ready', `--timeout=${READY_LIMIT_MS}ms`];
    await kubectl.run([...wait, '--namespace', namespace]);
    return kubectl.get<PodObject>(namespace, 'pod', name);
  };
  const remove = (name: string): Promise<string> =>
    kubectl.run(['delete', 'pod', name, '--namespace', namespace, '--grace-period=1']);

  test.for([
    ['nodejs', 'warmpool.dev/runtime-nodejs:24', '24'],
    ['python', 'warmpool.dev/runtime-python:3.11', '3.11'],
    ['java', 'warmpool.dev/runtime-java:17', '17'],
  ] as const)(
    'the %s agent answers on its socket, as nobody and with a read-only root',
    async ([name, image, version]) => {
      const env = {
        WARMPOOL_SOCKET: '/warmpool/agent.sock',
        WARMPOOL_HOST: '0.0.0.0',
        WARMPOOL_PORT: '8080',
        WARMPOOL_RUNTIME_NAME: name,
        WARMPOOL_RUNTIME_VERSION: version,
      };
      const pod = aRestrictedPod(name, namespace, image, {
        env: Object.entries(env).map(([name, value]) => ({ name, value })),
        volumeMounts: [{ name: 'agent', mountPath: '/warmpool' }],
      });
      await kubectl.apply({ ...pod, spec: { ...pod.spec, volumes: [{ name: 'agent', emptyDir: {} }] } });
      const { metadata } = await ready(name);
      if (access?.own !== undefined) {
        const folder = join(
          access.own.nodeFolder,
          'var/lib/kubelet/pods',
          metadata.uid,
          'volumes/kubernetes.io~empty-dir/agent',
        );
        await until('the socket', READY_LIMIT_MS, () => Promise.resolve(readdirSync(folder).includes('agent.sock')));
        expect(await askAgent(folder)).toMatchObject({ state: 'standby' });
      }
      await remove(name);
    },
  );

  test('a cold pod becomes Ready and is reached at its address and through a Service', async () => {
    const server = `require('http').createServer((q, s) => s.end(require('os').hostname())).listen(8080)`;
    const coldMs: number[] = [];
    for (let index = 0; index < COLD_PODS; index += 1) {
      const name = `cold-${index}`;
      const pod = aRestrictedPod(name, namespace, 'warmpool.dev/runtime-nodejs:24', {
        command: ['/usr/local/bin/node', '-e', server],
        readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 },
      });
      const startedAt = performance.now();
      await kubectl.apply(pod);
      const { status } = await ready(name);
      coldMs.push(Math.round(performance.now() - startedAt));
      const answer = await request(`http://${status.podIP}:8080`);
      expect(await answer.body.text()).toBe(name);
      if (index < COLD_PODS - 1) await remove(name);
    }
    process.stdout.write(`cold pod, kubectl apply to Ready: ${coldMs.join(', ')} ms\n`);

    const metadata = { name: 'cold', namespace };
    const spec = { selector: { app: `cold-${COLD_PODS - 1}` }, ports: [{ port: 80, targetPort: 8080 }] };
    await kubectl.apply({ apiVersion: 'v1', kind: 'Service', metadata, spec });
    const service = await kubectl.get<{ spec: { clusterIP: string } }>(namespace, 'service', 'cold');
    await until('the Service to answer', READY_LIMIT_MS, async () => {
      const answer = await request(`http://${service.spec.clusterIP}`, { headersTimeout: 1_000 });
      return (await answer.body.text()) === `cold-${COLD_PODS - 1}`;
    });
  });
});

function aRestrictedPod(
  name: string,
  namespace: string,
  image: string,
  container: object,
): { metadata: object; spec: object } {
  return {
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        fsGroup: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'runtime',
          image,
          imagePullPolicy: 'IfNotPresent',
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          ...container,
        },
      ],
    },
  };
}

/** Through the folder's descriptor: its path is longer than a socket's name may be. */
async function askAgent(folder: string): Promise<unknown> {
  const handle = await open(folder);
  const dispatcher = new Agent({ connect: { socketPath: `/proc/self/fd/${handle.fd}/agent.sock` } });
  try {
    const answer = await request('http://agent/v1/health', { dispatcher });
    return await answer.body.json();
  } finally {
    await dispatcher.close();
    await handle.close();
  }
}
