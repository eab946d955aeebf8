import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';

/** What a Node module may be besides plain JavaScript: TypeScript, a native addon, the output of a compiler with its source map. */

const runtime = (await describeRuntime(
  fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url)),
)) as PresentRuntime;
const started: StartedRuntime[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.dispose()));
});
async function start(): Promise<StartedRuntime> {
  const each = await StartedRuntime.start(runtime);
  started.push(each);
  return each;
}

describe('TypeScript', () => {
  const ENTRY = `import { twice, type Order } from './lib.ts';
interface Reply { doubled: number }
export const handler = async (event: Order): Promise<Reply> => ({ doubled: twice(event) satisfies number });
`;
  const LIB =
    'export type Order = { n: number };\nexport function twice(order: Order): number { return order.n * 2; }\n';

  it.each([
    ['an ES module by its package', { 'index.ts': ENTRY, 'lib.ts': LIB, 'package.json': '{"type":"module"}' }],
    ['an ES module by its syntax', { 'index.ts': ENTRY, 'lib.ts': LIB }],
    ['an ES module by its name', { 'index.mts': ENTRY, 'lib.ts': LIB }],
    [
      'a CommonJS module',
      {
        'index.cts': `const { twice } = require('./lib.cts');\nexports.handler = (event: { n: number }) => ({ doubled: twice(event) });\n`,
        'lib.cts': 'exports.twice = (order: { n: number }): number => order.n * 2;\n',
      },
    ],
    [
      'one that waits at its top level',
      { 'index.mts': `${ENTRY}await new Promise<void>((resolve) => setTimeout(resolve, 20));\n`, 'lib.ts': LIB },
    ],
  ])('runs as %s', async (_what, files) => {
    const process = await start();
    expect(await process.load({ handler: 'index.handler', files })).toMatchObject({ statusCode: 200 });
    expect(await process.invoke({ n: 21 })).toMatchObject({ statusCode: 200, json: { doubled: 42 } });
    // nothing of Node's own about it in the function's logs
    expect(process.output).toBe('');
  });

  it('names line and column of the source in an error, since only types are taken out', async () => {
    const process = await start();
    const files = {
      'index.ts': `interface Unused {\n  a: string;\n}\nexports.handler = (event: unknown) => {\n  throw new Error('here' as string);\n};\n`,
    };
    await process.load({ handler: 'index.handler', files });
    const answer = await process.invoke({});
    expect(answer.json).toMatchObject({ stack: expect.stringContaining('index.ts:5:9') as string });
  });

  it('that has to be compiled, not only stripped, is refused with the file and the reason', async () => {
    const process = await start();
    const files = { 'index.ts': 'enum Colour { Red }\nexports.handler = () => Colour.Red;\n' };
    const answer = await process.load({ handler: 'index.handler', files });
    expect(answer).toMatchObject({
      statusCode: 422,
      json: { code: 'UserCodeError', message: expect.stringMatching(/enum is not supported/) as string },
    });
  });

  it('gives way to what it was compiled to', async () => {
    const process = await start();
    const files = { 'index.ts': 'this is not valid', 'index.js': 'exports.handler = () => ({ compiled: true });\n' };
    expect(await process.load({ handler: 'index.handler', files })).toMatchObject({ statusCode: 200 });
    expect((await process.invoke({})).json).toEqual({ compiled: true });
  });
});

describe('a source map', () => {
  // two lines of source on one line of output: "boom" is on line 3 of src/orders.ts
  const MAP = JSON.stringify({
    version: 3,
    file: 'index.js',
    sources: ['src/orders.ts'],
    names: [],
    // generated line 1: column 0 to source 1:1; column 30 to source 3:5
    mappings: 'AAAA,8BAEI',
  });
  const files = {
    'index.js': "exports.handler = () => {     throw new Error('boom'); };\n//# sourceMappingURL=index.js.map\n",
    'index.js.map': MAP,
  };
  const stackOf = async (env: Record<string, string>): Promise<string> => {
    const process = await start();
    expect(await process.load({ handler: 'index.handler', files }, { env })).toMatchObject({ statusCode: 200 });
    return ((await process.invoke({})).json as { stack: string }).stack;
  };

  it('tells where in the source an error is, for a claim whose NODE_OPTIONS ask for it', async () => {
    expect(await stackOf({ NODE_OPTIONS: '--enable-source-maps' })).toContain('src/orders.ts:3:5');
  });

  it('is not read otherwise, as by a plain node', async () => {
    expect(await stackOf({})).toContain('index.js:1:');
  });
});

describe('a native addon', () => {
  const PACKAGE = 'bcrypt@6.0.0';
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-addon-'));
  writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  // its compiled parts for several systems are in the package itself; nothing is built
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact', PACKAGE];
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: 'ignore', timeout: 60_000 });
  const isHere = status === 0 && existsSync(path.join(folder, 'node_modules/bcrypt/prebuilds'));
  if (!isHere) console.warn(`native addons are NOT tested on this machine: ${PACKAGE} cannot be installed`);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.runIf(isHere)('from a package of the registry is loaded and works, in threads of its own too', async () => {
    const process = await start();
    mkdirSync(path.join(process.folder, 'code'));
    cpSync(path.join(folder, 'node_modules'), path.join(process.folder, 'code/node_modules'), { recursive: true });
    const files = {
      'index.js': `const bcrypt = require('bcrypt');
exports.handler = async ({ secret }) => {
  const hash = await bcrypt.hash(secret, 4);
  return { matches: await bcrypt.compare(secret, hash), other: bcrypt.compareSync('other', hash), native: Object.keys(require.cache).some((name) => name.endsWith('.node')) };
};\n`,
    };
    expect(await process.load({ handler: 'index.handler', files })).toMatchObject({ statusCode: 200 });
    expect((await process.invoke({ secret: 'x' })).json).toEqual({ matches: true, other: false, native: true });
  });
});
