import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { parseAllDocuments } from 'yaml';
import { AdminApi } from './admin-api.ts';
import { findOrBuild } from './binaries.ts';
import { type ControlPlaneAccess, startControlPlane } from './control-plane.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Undefined when the tier has to be skipped on this machine. */
    apiserver: (ControlPlaneAccess & { etcdUrl: string; apiserverBinary: string }) | undefined;
    /** Undefined when it is neither there nor can be built. */
    kubectl: string | undefined;
  }
}

const CRDS_FOLDER = join(import.meta.dirname, '../../crds');
const ESTABLISHED_LIMIT_MS = 30_000;

/** One control plane for the whole tier; each test file works in namespaces of its own. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const binaries = await findOrBuild(['etcd', 'kube-apiserver'], process.env);
  if ('missing' in binaries) {
    process.stdout.write(`skipped: apiserver tier: ${binaries.missing}\n`);
    project.provide('apiserver', undefined);
    project.provide('kubectl', undefined);
    return undefined;
  }
  const tools = await findOrBuild(['kubectl'], process.env);
  if ('missing' in tools)
    process.stdout.write(`skipped: tests of the manifests: ${tools.missing}
`);
  project.provide('kubectl', 'missing' in tools ? undefined : tools.paths.kubectl);
  const apiserverBinary = binaries.paths['kube-apiserver'];
  const controlPlane = await startControlPlane({ etcd: binaries.paths.etcd, apiserver: apiserverBinary });
  try {
    await applyDefinitions(controlPlane);
  } catch (error) {
    await controlPlane.stop({ keepLogs: true });
    throw error;
  }
  const { url, token, caPem, etcdUrl } = controlPlane;
  project.provide('apiserver', { url, token, caPem, etcdUrl, apiserverBinary });
  return () => controlPlane.stop();
}

async function applyDefinitions(access: ControlPlaneAccess): Promise<void> {
  await using admin = new AdminApi(access);
  const files = (await readdir(CRDS_FOLDER)).filter((file) => /^warm.*\.yaml$/.test(file));
  for (const file of files) {
    for (const document of parseAllDocuments(await readFile(join(CRDS_FOLDER, file), 'utf8'))) {
      const definition = document.toJS() as Definition;
      const created = await admin.send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
      if (created.status !== 201) throw new Error(`${file} was refused: ${JSON.stringify(created.body)}`);
      const { group, names, versions } = definition.spec;
      await until(`${file} to be served`, async () => {
        const { status } = await admin.send('GET', `/apis/${group}/${versions[0]?.name}/${names.plural}`);
        return status === 200;
      });
    }
  }
}

interface Definition {
  spec: { group: string; names: { plural: string }; versions: { name: string }[] };
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + ESTABLISHED_LIMIT_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`waited ${ESTABLISHED_LIMIT_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
