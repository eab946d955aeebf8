import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadPoolFiles } from './pool-files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'pool-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

const manifest = (name: string, spec = 'replicas: 2', metadata = ''): string => `apiVersion: warmpool.dev/v1alpha1
kind: WarmPool
metadata:
  name: ${name}${metadata}
spec:
  runtime: { name: nodejs, version: '24' }
  ${spec}
  template:
    spec:
      nodeSelector: { disk: ssd }
      containers:
        - name: runtime
          image: warmpool.dev/runtime-nodejs:24
          env: [{ name: LEVEL, value: debug }]
`;

async function problemOf(text: string): Promise<string> {
  await writeFile(path.join(folder, 'a.yaml'), text);
  const error = await loadPoolFiles(folder).then(
    () => new Error('the file was accepted'),
    (thrown: Error) => thrown,
  );
  return error.message.replaceAll(`${folder}/`, '');
}

describe('loading pool files', () => {
  it('accepts the examples of this repository', async () => {
    const pools = await loadPoolFiles(fileURLToPath(new URL('../examples/pools', import.meta.url)));
    expect(pools.map(({ metadata }) => metadata.name)).toEqual(['java', 'nodejs', 'python']);
  });

  it('reads several pools from one file, in the namespace "default" where none is written', async () => {
    await writeFile(
      path.join(folder, 'a.yml'),
      `${manifest('one')}---\n${manifest('two', '', '\n  namespace: team')}---\n`,
    );
    await writeFile(path.join(folder, 'README.md'), 'not a pool');
    const pools = await loadPoolFiles(folder);
    expect(pools.map(({ metadata }) => metadata)).toEqual([
      { name: 'one', namespace: 'default' },
      { name: 'two', namespace: 'team' },
    ]);
  });

  it('fills in defaults and keeps what the pod template says beyond what Warmpool reads', async () => {
    await writeFile(path.join(folder, 'a.yaml'), manifest('one'));
    const [pool] = await loadPoolFiles(folder);
    expect(pool?.spec.claims.onEmpty).toBe('Wait');
    expect(pool?.spec.template.spec).toMatchObject({ nodeSelector: { disk: 'ssd' } });
    expect(pool?.spec.template.spec.containers[0]).toMatchObject({ env: [{ name: 'LEVEL', value: 'debug' }] });
  });

  it.each([
    ['text that is not YAML', 'spec: [1, 2\n', 'a.yaml:2:1 is not valid YAML: '],
    [
      'a key written twice',
      manifest('one', 'replicas: 1\n  replicas: 2'),
      'a.yaml:8:3 is not valid YAML: Map keys must be unique',
    ],
    [
      'an unknown field, with the nearest name',
      manifest('one', 'replica: 2'),
      'a.yaml:7:3 spec.replica: is not a known field; did you mean "replicas"?',
    ],
    [
      'an unknown field that resembles nothing',
      manifest('one', 'colour: red'),
      'a.yaml:7:3 spec.colour: is not a known field',
    ],
    [
      'an unknown field deep inside',
      manifest('one', 'claims: { onempt: Wait }'),
      'a.yaml:7:13 spec.claims.onempt: is not a known field; did you mean "onEmpty"?',
    ],
    [
      'a misspelt metadata field',
      manifest('one', '', '\n  namspace: x'),
      'a.yaml:5:3 metadata.namspace: is not a known field; did you mean "namespace"?',
    ],
    ['a value outside its range', manifest('one', 'replicas: -1'), 'a.yaml:7:13 spec.replicas: '],
    ['a value of a closed list', manifest('one', 'claims: { onEmpty: Maybe }'), 'a.yaml:7:22 spec.claims.onEmpty: '],
    ['a bad name', manifest('Node_JS'), 'a.yaml:4:9 metadata.name: must be 1 to 63 lower-case letters'],
    ['a bad namespace', manifest('one', '', '\n  namespace: A B'), 'a.yaml:5:14 metadata.namespace: must be'],
    [
      'a missing field, by what it is missing from',
      manifest('one').replace(", version: '24'", ''),
      'a.yaml:6:3 spec.runtime.version: is required',
    ],
    [
      'an empty list of containers',
      'apiVersion: warmpool.dev/v1alpha1\nkind: WarmPool\nmetadata: { name: a }\nspec:\n  runtime: { name: nodejs, version: "24" }\n  template: { spec: { containers: [] } }\n',
      'a.yaml:6:35 spec.template.spec.containers: ',
    ],
    ['another kind', manifest('one').replace('kind: WarmPool', 'kind: Deployment'), 'a.yaml:2:7 kind: '],
    ['a list instead of an object', '- a\n- b\n', 'a.yaml:1:1 must be an object, not a list'],
    [
      'bounds that contradict each other',
      manifest('one', 'rollout: { maxUnavailable: 0, maxSurge: 0 }'),
      'a.yaml:7:12 spec.rollout: maxUnavailable and maxSurge must not both be 0',
    ],
    [
      'aliases that multiply without end',
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n`,
      'a.yaml:1:1 is not valid YAML: ',
    ],
  ])('says where %s is', async (_what, text, expected) => {
    expect(await problemOf(text)).toContain(expected);
  });

  it('tells a number that has to be quoted how to be written', async () => {
    const text = manifest('one').replace("'24'", '24');
    expect(await problemOf(text)).toContain(
      "a.yaml:6:37 spec.runtime.version: must be a string, not a number; put it in quotes: '24'",
    );
  });

  it('follows an alias to where the wrong value was written', async () => {
    const text = manifest('one', 'rollout: &r { maxUnavailable: -1 }');
    expect(await problemOf(text)).toContain('a.yaml:7:33 spec.rollout.maxUnavailable: ');
  });

  it('refuses the same pool twice and names both places', async () => {
    await writeFile(path.join(folder, 'b.yaml'), manifest('one'));
    expect(await problemOf(manifest('one'))).toContain(
      'b.yaml:4:9 metadata.name: the pool default/one is already written in a.yaml:4; give one of them another name',
    );
  });

  it('lists what is wrong in all files at once', async () => {
    await writeFile(path.join(folder, 'b.yaml'), 'kind: [');
    const message = await problemOf(manifest('one', 'replicas: -1\n  colour: red'));
    expect(message).toContain('The pool files have 3 problems:');
    expect(message.match(/^ {2}[ab]\.yaml:\d+:\d+ /gm)).toHaveLength(3);
  });

  it('names the folder or file that cannot be read', async () => {
    await expect(loadPoolFiles(path.join(folder, 'none'))).rejects.toThrow(`${folder}/none cannot be read: ENOENT`);
    await writeFile(path.join(folder, 'big.yaml'), '#'.repeat(1024 * 1024 + 1));
    await expect(loadPoolFiles(folder)).rejects.toThrow('big.yaml cannot be read: it has 1048577 bytes');
  });
});
