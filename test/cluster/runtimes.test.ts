import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { invokeOnce, unexpected } from '@warmpool/local/invoke.ts';
import { type PackedFunction, packFunctions } from '@warmpool/local/pack-functions.ts';
import { findRuntimes } from '@warmpool/runtime-agent/runtimes.ts';
import { classesOf, compileFixtures } from '../system/fixtures-java/fixtures.ts';
import type { CodeServer } from './code-server.ts';
import type { Kubectl } from './kubectl.ts';
import { createPool, NODEJS, type Platform, POOL_NAMESPACE, startProduct } from './product.ts';

const access = inject('cluster');
const own = access?.own;
const EXAMPLES = join(import.meta.dirname, '../../examples/functions');

const RUNTIMES = [
  { runtime: NODEJS, example: 'node-hello' },
  { runtime: { name: 'python', version: '3.11' }, example: 'python-hello' },
  { runtime: { name: 'java', version: '17' }, example: 'java-hello' },
];

describe.skipIf(own === undefined)('pools of each runtime on a real cluster', () => {
  let kubectl: Kubectl;
  let platform: Platform;
  let codeServer: CodeServer;
  let folder: string;
  let packed: PackedFunction[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'warmpool-examples-'));
    for (const { example } of RUNTIMES)
      await cp(join(EXAMPLES, example), join(folder, 'functions', example), { recursive: true });
    const folders = {
      functionsDir: join(folder, 'functions'),
      cacheDir: join(folder, 'cache'),
      storeDir: join(folder, 'store'),
    };
    ({ packed } = await packFunctions(folders, { runtimes: await findRuntimes(), env: process.env }));
    ({ kubectl, platform, codeServer } = await startProduct(access, 'runtimes-test'));
    await Promise.all(RUNTIMES.map(({ runtime }) => createPool(kubectl, `each-${runtime.name}`, 1, { runtime })));
  });
  afterAll(async () => {
    if (own === undefined) return;
    const pools = RUNTIMES.map(({ runtime }) => `each-${runtime.name}`);
    await kubectl.run(['delete', 'warmpools', ...pools, '--namespace', POOL_NAMESPACE]);
    await codeServer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  test.for(RUNTIMES)('$example is claimed and answers', async ({ runtime, example }) => {
    const found = packed.find((each) => each.function.name === example);
    if (found === undefined) throw new Error(`${example} could not be packed on this machine`);
    const { status, body, claim } = await platform.claim(`each-${runtime.name}`, {
      claimId: example,
      function: { name: example, version: '1', tenant: 'acme' },
      code: codeServer.addArchive(await readFile(join(folder, 'store', found.key)), found.format),
      handler: found.function.handler,
      env: found.function.env,
    });
    expect([status, body]).toMatchObject([201, { state: 'ready' }]);
    const answer = await invokeOnce(claim.address?.url ?? '', found.function.invoke);
    expect(unexpected(answer, found.function.invoke.expect)).toBeUndefined();
    await platform.release(example);
  });

  test('a Java function finds the files beside its code by relative paths', async () => {
    const classes = Object.entries(classesOf(compileFixtures(), 'Ways')).map(([name, body]) => ({ name, body }));
    const { status, body, claim } = await platform.claim('each-java', {
      claimId: 'relative',
      function: { name: 'ways', version: '1', tenant: 'acme' },
      code: codeServer.addArchive(tarOf([...classes, { name: 'notes/hello.txt', body: 'hello' }]), 'tar'),
      handler: 'Ways.relative',
    });
    expect([status, body]).toMatchObject([201, { state: 'ready' }]);
    const wish = { method: 'POST', path: '/', body: {}, expect: { status: 200, contains: 'hello' } } as const;
    const answer = await invokeOnce(claim.address?.url ?? '', wish);
    expect(JSON.parse(answer.text)).toMatchObject({ nio: 'hello', io: 'hello' });
    await platform.release('relative');
  });
});
