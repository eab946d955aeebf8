import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { machineConfig } from '@warmpool/local/config.ts';
import { packFunction } from '@warmpool/local/pack-functions.ts';
import type { PackedFunction } from '@warmpool/local/pack-functions.ts';
import { ToolError } from '@warmpool/local/packing/run-tool.ts';
import { prepareBeside } from '@warmpool/local/prepare-beside.ts';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';

/** Packages that a Node pool names are in memory before there is a function, which gets them only where nobody could tell. */

const BOOTSTRAP = fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url));
const EXPRESS = path.join(import.meta.dirname, '../../examples/functions/express-app');
const runtime = (await describeRuntime(BOOTSTRAP)) as PresentRuntime;

type Files = Record<string, string>;

/** `tally` needs `abacus`, lies in a folder of its own, and each says when it ran. */
const PACKAGES: Files = {
  'node_modules/tally/package.json': '{"name":"tally","version":"5.1.0","main":"lib/tally.js"}',
  'node_modules/tally/lib/tally.js': `'use strict';
const path = require('node:path');
const fs = require('node:fs');
exports.bornMs = performance.now();
exports.abacus = require('abacus');
exports.rows = require('./rows');
exports.units = require(path.join(__dirname, '../units.json'));
exports.cwd = process.cwd();
exports.mode = process.env.TALLY_MODE;
exports.options = Object.keys(process.env).filter((name) => /^tally_/i.test(name));
try { exports.speedups = require('speedups'); } catch (error) { // the function's own modules are not in its require stack
  exports.speedups = [error.code, ...error.message.split('\\n', 3)];  }
exports.seen = [];
exports.data = () => fs.readFileSync(path.join(__dirname, '..', 'data.txt'), 'utf8');
exports.lazy = () => require('./lazy');
exports.own = module;
exports.place = [__filename, __dirname, module.id, module.path, module.paths, require.resolve('abacus')];
`,
  'node_modules/tally/lib/rows.js':
    'exports.bornMs = performance.now();\nexports.fail = () => {\n  throw new Error("rows");\n};\n',
  'node_modules/tally/lib/lazy.js': 'exports.bornMs = performance.now();\n',
  'node_modules/tally/units.json': '{"unit":"row"}',
  'node_modules/tally/data.txt': 'some data',
  'node_modules/abacus/index.js': 'exports.bornMs = performance.now();\n',
};

const TELL = `
const where = (bornMs) => (bornMs < startedMs ? 'memory' : 'own');
const below = (text) => text.replaceAll(process.cwd(), '<code>').replaceAll(process.env.HOME, '<folder>');
exports.tell = (tally, abacus, loaded, by) => {
  tally.seen.push(1);
  const frames = (() => { try { tally.rows.fail(); } catch (error) { return error.stack.split('\\n').filter((line) => line.includes('tally')); } })();
  const { children, exports, filename, id, loaded: isLoaded, parent } = tally.own;
  const rest = {
    seen: tally.seen.length, data: tally.data(), mode: tally.mode, options: tally.options, speedups: tally.speedups, units: tally.units,
    frames, place: tally.place, cwd: tally.cwd, filename, id, isLoaded, parent: parent?.id, children: children.map((child) => [child.id, child.loaded]),
    isItself: exports === tally && require.cache[filename] === tally.own, same: tally.abacus === abacus, env: process.env.TALLY_MODE, path: process.env.PATH,
    before: loaded.filter((file) => file.includes('node_modules')), after: Object.keys(require.cache).filter((file) => file.includes('node_modules')),
    by: by?.children.map((child) => child.id), listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
  };
  return { tally: where(tally.bornMs), abacus: where(abacus.bornMs), lazy: where(tally.lazy().bornMs), rest: JSON.parse(below(JSON.stringify(rest))) };
};
`;
const STARTED = 'globalThis.startedMs = performance.now();\n';
const REQUIRES: Files = {
  'tell.cjs': TELL,
  'index.js': `${STARTED}const { tell } = require('./tell.cjs');
const loaded = Object.keys(require.cache);
const tally = require('tally');
exports.handler = () => tell(tally, require('abacus'), loaded, module);
`,
};
const IMPORTS: Files = {
  'tell.cjs': TELL,
  'first.mjs': STARTED,
  'index.mjs': `import './first.mjs';
import { tell } from './tell.cjs';
import tally, { seen, rows } from 'tally';
import abacus from 'abacus';
export const handler = () => ({ ...tell(tally, abacus, []), named: [seen === tally.seen, rows === tally.rows] });
`,
};

describe('packages that a Node pool pre-imports', () => {
  const started: StartedRuntime[] = [];
  let pool: string;

  beforeEach(() => {
    pool = mkdtempSync(path.join(os.tmpdir(), 'warmpool-pool-'));
    write(pool, PACKAGES);
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
    rmSync(pool, { recursive: true, force: true });
  });

  const standby = async (preImport: string, env: Files = {}): Promise<StartedRuntime> => {
    const each = await StartedRuntime.start(runtime, {
      env: { WARMPOOL_PRE_IMPORT: preImport, WARMPOOL_PRE_IMPORT_DIR: pool, ...env },
    });
    started.push(each);
    return each;
  };
  interface Told {
    tally: string;
    abacus: string;
    rest: Record<string, unknown>;
  }
  /** What a function tells whose packages are those of the pool but for `changes`. */
  const told = async (each: StartedRuntime, own: Files, changes: Files = {}, env: Files = {}): Promise<Told> => {
    const code = path.join(each.folder, 'code');
    write(code, { ...PACKAGES, ...changes });
    list(code);
    const load = await each.load({ handler: 'index.handler', files: own }, { env });
    expect(load.bytes.toString()).toContain('ready');
    return (await each.invoke({})).json as Told;
  };

  it.each([
    ['requires', REQUIRES],
    ['imports', IMPORTS],
  ])('are given to a function with the same ones that %s them, and nothing else differs', async (_, own) => {
    const withHeld = await told(await standby('tally'), own);
    const without = await told(await standby(''), own);
    expect(withHeld).toMatchObject({ tally: 'memory', abacus: 'memory', lazy: 'own' });
    expect(without).toMatchObject({ tally: 'own', abacus: 'own', lazy: 'own' });
    expect(withHeld).toEqual({ ...without, tally: 'memory', abacus: 'memory' });
    expect(withHeld.rest).toMatchObject({ seen: 1, before: [], cwd: '<code>', isItself: true });
  });

  it.each<[string, Files, Partial<Told>]>([
    ['a file of data differs', { 'node_modules/tally/data.txt': 'other dat' }, { tally: 'own', abacus: 'memory' }],
    [
      'a module that was not imported differs',
      { 'node_modules/tally/lib/lazy.js': 'exports.bornMs = performance.now()\n\n' },
      { tally: 'own', abacus: 'memory' },
    ],
    [
      'a package that they need differs',
      { 'node_modules/abacus/index.js': 'exports.bornMs = performance.now()\n\n' },
      { tally: 'own', abacus: 'own' },
    ],
    [
      'a package that they need is another one, nearer',
      { 'node_modules/tally/node_modules/abacus/index.js': 'exports.bornMs = performance.now();\n' },
      { tally: 'own', abacus: 'memory' },
    ],
    [
      'there is a package that they had looked for in vain',
      { 'node_modules/speedups.js': '' },
      { tally: 'own', abacus: 'memory' },
    ],
  ])('are left alone when %s', async (_when, changes, expected) => {
    expect(await told(await standby('tally'), REQUIRES, changes)).toMatchObject(expected);
  });

  it.each<[string, Files]>([
    ['a variable that they read', { TALLY_MODE: 'fast' }],
    ['a variable that they would have found in the list of all', { TALLY_OTHER: '1' }],
  ])('are left alone when the claim has another value of %s', async (_what, env) => {
    const answer = await told(await standby('tally'), REQUIRES, {}, env);
    expect(answer).toMatchObject({ tally: 'own', abacus: 'memory', rest: { options: Object.keys(env) } });
  });

  it.each([
    ['a variable that they read', 'process.env.TALLY_MODE = "late";'],
    ['the working folder', 'process.chdir("/");'],
    [
      'a function of a built-in module',
      'const fs = require("node:fs"); const { readFileSync } = fs; fs.readFileSync = (...words) => readFileSync(...words);',
    ],
    ['a global', 'Array.prototype.filter = function () { return [] };'],
    [
      'the loader',
      'const M = require("node:module"); const load = M._load; M._load = (...words) => load.apply(M, words);',
    ],
    [
      'the loader by hooks',
      'require("node:module").registerHooks({ load: (url, context, next) => next(url, context) });',
    ],
    ['the loader by hooks of an ES module', 'require("./hooks.mjs");'],
    [
      'one of their modules',
      'require("tally/lib/rows.js"); delete require.cache[require.resolve("tally/lib/rows.js")];',
    ],
  ])('are left alone when the code has changed %s before it requires them', async (_, change) => {
    const each = await standby('tally');
    const index = `${STARTED}${change}\nconst { bornMs } = require('tally');\nexports.handler = () => bornMs > startedMs;\n`;
    write(path.join(each.folder, 'code'), PACKAGES);
    list(path.join(each.folder, 'code'));
    const hooks = `import { registerHooks } from 'node:module';
registerHooks({ load: (url, context, next) => next(url, context) });
`;
    const files = { 'index.js': index, 'hooks.mjs': hooks };
    expect(await each.load({ handler: 'index.handler', files })).toMatchObject({ statusCode: 200 });
    expect((await each.invoke({})).json).toBe(true);
  });

  it('are left alone without a list of what the code has, or when the list is older than the files', async () => {
    const [unlisted, stale] = [await standby('tally'), await standby('tally')];
    const bare = await unlisted.load({ handler: 'index.handler', files: { ...PACKAGES, ...REQUIRES } });
    expect(bare).toMatchObject({ statusCode: 200 });
    expect((await unlisted.invoke({})).json).toMatchObject({ tally: 'own', abacus: 'own' });
    write(path.join(stale.folder, 'code'), PACKAGES);
    list(path.join(stale.folder, 'code'));
    const newer = {
      'node_modules/tally/lib/rows.js': 'exports.bornMs = 1e9; exports.fail = () => { throw new Error("newer"); };',
    };
    await stale.load({ handler: 'index.handler', files: { ...REQUIRES, ...newer } });
    expect((await stale.invoke({})).json).toMatchObject({ tally: 'own', abacus: 'memory' });
  });

  it('are given once: who throws one away gets a new one', async () => {
    const each = await standby('tally');
    const index = `${STARTED}const first = require('tally');
delete require.cache[require.resolve('tally')];
const second = require('tally');
exports.handler = () => [first.bornMs < startedMs, second.bornMs > startedMs, first === second, first.abacus === second.abacus];
`;
    write(path.join(each.folder, 'code'), PACKAGES);
    list(path.join(each.folder, 'code'));
    await each.load({ handler: 'index.handler', files: { 'index.js': index } });
    expect((await each.invoke({})).json).toEqual([true, true, false, true]);
  });

  it.each<[string, string, RegExp]>([
    ['starts a timer', 'setInterval(() => {}, 1000).unref();', /starts something \(Timeout\)/],
    [
      'starts a thread',
      'new (require("node:worker_threads").Worker)("", { eval: true });',
      /starts something \((WORKER|MESSAGEPORT)\)/,
    ],
    [
      'replaces a function of a built-in module',
      'require("node:fs").readFileSync = () => "";',
      /changes node:fs\.readFileSync/,
    ],
    [
      'replaces a method of a global',
      'Array.prototype.map = function () { return []; };',
      /changes Array\.prototype\.map/,
    ],
    ['listens to events of the process', 'process.on("exit", () => {});', /listens to events of the process/],
    ['puts something on the globals', 'globalThis.meddled = 1;', /changes globalThis/],
    ['changes a setting', 'Error.stackTraceLimit = 3;', /changes Error\.stackTraceLimit/],
    ['changes the environment', 'process.env.PATH = "/nowhere";', /changes the environment/],
    ['changes the working folder', 'process.chdir("/");', /changes the working folder/],
    ['throws', 'throw new Error("not here");', /its import fails: not here/],
    ['fails a little later', 'Promise.reject(new Error("later"));', /its import fails: later/],
    ['has compiled parts', 'require("./addon.node");', /its import fails: uses compiled code \(addon\.node\)/],
  ])(
    'must be harmless: one that %s is refused, and the process is as if it had never been',
    async (_, text, reason) => {
      write(pool, { 'node_modules/meddler/index.js': text, 'node_modules/meddler/addon.node': '' });
      const each = await standby('meddler,tally');
      expect(readlinkSync(`/proc/${each.child.pid}/cwd`)).toBe(each.folder);
      expect(each.output).toMatch(
        new RegExp(`WARMPOOL_PRE_IMPORT: meddler is left to the functions: .*${reason.source}`),
      );
      expect(each.output).not.toContain('Warning');
      const withHeld = await told(each, REQUIRES);
      const without = await told(await standby(''), REQUIRES);
      expect(withHeld).toEqual({ ...without, tally: 'memory', abacus: 'memory' });
    },
  );

  it.each<[string, Files, RegExp]>([
    ['asks who imports it', { 'index.js': 'if (!module.parent) console.log("run");' }, /asks who imports it/],
    ['copies the environment', { 'index.js': 'exports.env = { ...process.env };' }, /copies the environment/],
    ['keeps what the agent replaces', { 'index.js': 'exports.exit = process.exit;' }, /asks for process\.exit/],
    [
      'is an ES module',
      { 'package.json': '{"type":"module"}', 'index.js': 'export let count = 0;' },
      /is an ES module/,
    ],
  ])('are not held when one of them %s, with a line that says so', async (_, files, reason) => {
    const own = Object.fromEntries(Object.entries(files).map(([name, text]) => [`node_modules/other/${name}`, text]));
    write(pool, own);
    const each = await standby('other,tally');
    expect(each.output).toMatch(reason);
    expect(await told(each, REQUIRES)).toMatchObject({ tally: 'memory' });
  });

  it('are those of the version that the pool names, or the process does not boot', async () => {
    expect(await told(await standby('tally@5'), REQUIRES)).toMatchObject({ tally: 'memory' });
    const other = await StartedRuntime.start(runtime, {
      env: { WARMPOOL_PRE_IMPORT: 'tally@4', WARMPOOL_PRE_IMPORT_DIR: pool },
      returnsEarly: true,
    });
    started.push(other);
    expect(await other.exited()).toEqual({ exitCode: 1, signal: null });
    expect(other.termination()).toMatchObject({
      reason: 'BootFailed',
      message: 'WARMPOOL_PRE_IMPORT names "tally@4", but there is tally 5.1.0',
    });
  });

  it('are not given to code that lies elsewhere', async () => {
    const each = await standby('tally');
    const elsewhere = path.join(each.folder, 'elsewhere');
    write(elsewhere, { ...PACKAGES, ...REQUIRES });
    list(elsewhere);
    const load = await each.load(
      { handler: 'index.handler', files: {} },
      { code: { path: elsewhere, digest: `sha256:${'a'.repeat(64)}` } },
    );
    expect(load).toMatchObject({ statusCode: 200 });
    expect((await each.invoke({})).json).toMatchObject({ tally: 'own', abacus: 'own' });
  });
});

const express = await packedExpress();
if (express === undefined) console.warn('pre-import of Express is NOT tested on this machine: it cannot be installed');
else {
  describe('Express, pre-imported', () => {
    const started: StartedRuntime[] = [];
    afterEach(async () => {
      await Promise.all(started.splice(0).map((each) => each.dispose()));
    });

    /** Some of the 60-odd packages, made to say when they ran. */
    const MARKED = ['express/index.js', 'router/index.js', 'debug/src/node.js', 'depd/index.js', 'ms/index.js'];
    const PROBE = `const startedMs = performance.now();
const { default: express } = await import('express');
const { createRequire } = await import('node:module');
const { json } = express;
const born = {};
let require = createRequire(import.meta.url);
for (const file of ${JSON.stringify(MARKED)}) born[file.split('/')[0]] = require('./node_modules/' + file).bornMs < startedMs ? 'memory' : 'own';
export const handler = () => ({ born, json: typeof json, named: Object.keys(await0).sort(), env: express().get('env') });
`
      .replace('await0', 'names')
      .replace('const { json }', "const names = await import('express');\nconst { json }");

    interface Ways {
      preImport?: string;
      change?: (code: string) => void;
      env?: Files;
      isPrepared?: boolean;
      kind?: 'handler' | 'http';
    }
    const tree = mkdtempSync(path.join(os.tmpdir(), 'warmpool-express-'));
    beforeAll(() => {
      cpSync(express.treeDir, tree, { recursive: true });
      for (const file of MARKED)
        appendFileSync(path.join(tree, 'node_modules', file), '\nmodule.exports.bornMs = performance.now();\n');
    });
    afterAll(() => rmSync(tree, { recursive: true, force: true }));
    const loaded = async ({ preImport = 'express@5', change, env = {}, isPrepared = false, kind = 'http' }: Ways) => {
      const each = await StartedRuntime.start(runtime, {
        env: { WARMPOOL_PRE_IMPORT: preImport, WARMPOOL_PRE_IMPORT_DIR: tree },
      });
      started.push(each);
      expect(each.output).toBe('');
      const code = path.join(each.folder, 'code');
      cpSync(tree, code, { recursive: true });
      write(code, { 'probe.mjs': PROBE });
      change?.(code);
      if (isPrepared) {
        rmSync(path.join(code, '.warmpool-packages.json'));
        expect(await prepareBeside(code, runtime)).toBeGreaterThan(0);
      } else list(code);
      const handler = kind === 'http' ? 'server.js' : 'probe.handler';
      const load = await each.load({ handler, files: {} }, { kind, env: { GREETING: 'Hi', ...env } });
      expect(load).toMatchObject({ statusCode: 200 });
      return each;
    };
    const bornOf = async (ways: Ways) =>
      (await (await loaded({ ...ways, kind: 'handler' })).invoke({})).json as Record<string, unknown>;
    const answersOf = async (each: StartedRuntime) => {
      const requests = [
        { method: 'GET', path: '/' },
        { method: 'GET', path: '/hello/Ada%20L' },
        { method: 'POST', path: '/sum', body: { numbers: [1, 2, 3] } },
        { method: 'POST', path: '/sum', body: { numbers: ['a'] } },
        { method: 'GET', path: '/nowhere' },
        { method: 'GET', path: '/hello/%zz' },
      ];
      const answers = [];
      for (const request of requests) {
        const { statusCode, headers, bytes } = await each.serve(request);
        const { date: _, ...others } = headers;
        answers.push([statusCode, others, bytes.toString().replaceAll(each.folder, '<folder>')]);
      }
      return answers;
    };

    it.each<[string, Ways]>([
      ['by a list that came with the code', {}],
      ['by what the host-agent has prepared', { isPrepared: true }],
      ['whatever NODE_ENV is, which it reads only when it is called', { env: { NODE_ENV: 'production' } }],
    ])('is given %s', async (_, ways) => {
      const without = await bornOf({ ...ways, preImport: '' });
      expect(without).toMatchObject({
        born: { express: 'own', ms: 'own' },
        env: ways.env?.['NODE_ENV'] ?? 'development',
      });
      const born = { express: 'memory', router: 'memory', debug: 'memory', depd: 'memory', ms: 'memory' };
      expect(await bornOf(ways)).toEqual({ ...without, born });
    });

    it('leaves nothing that a function could find which does not use it', async () => {
      const files = { 'probe.js': readFileSync(new URL('rehearsal-probes/probe.js', import.meta.url), 'utf8') };
      const foundWith = async (preImport: string) => {
        const each = await StartedRuntime.start(runtime, {
          env: { WARMPOOL_PRE_IMPORT: preImport, WARMPOOL_PRE_IMPORT_DIR: tree },
        });
        started.push(each);
        expect(await each.load({ handler: 'probe.handler', files })).toMatchObject({ statusCode: 200 });
        const answer = await each.invoke({}, { 'x-request-id': 'probe' });
        const text = answer.bytes
          .toString()
          .replaceAll(each.folder, '<folder>')
          .replaceAll(String(each.port), '<port>');
        return (JSON.parse(text) as { found: Record<string, unknown> }).found;
      };
      const [held, fresh] = [await foundWith('express'), await foundWith('')];
      for (const [what, found] of Object.entries(fresh)) expect.soft(held[what], what).toEqual(found);
    });

    it('is left alone when a package deep below it differs, and what does not need that one is given still', async () => {
      const change = (code: string) => appendFileSync(path.join(code, 'node_modules/debug/README.md'), '.');
      const born = { express: 'own', router: 'own', debug: 'own', depd: 'memory', ms: 'memory' };
      expect(await bornOf({ change })).toMatchObject({ born });
    });

    it('is left alone when the claim switches its logging on', async () => {
      const each = await loaded({ env: { DEBUG: 'express:application' } });
      await each.serve({ method: 'GET', path: '/' });
      expect(each.output).toContain('express:application');
      expect(await bornOf({ env: { DEBUG_COLORS: 'no' } })).toMatchObject({
        born: { express: 'own', debug: 'own', ms: 'memory' },
      });
    });

    it.each<[string, Ways]>([
      ['', {}],
      [', prepared', { isPrepared: true }],
      [', in production', { env: { NODE_ENV: 'production' } }],
    ])('answers as its own does%s', async (_, ways) => {
      const own = await answersOf(await loaded({ ...ways, preImport: '' }));
      expect(own[1]).toMatchObject([200, {}, '{"message":"Hi, Ada L"}']);
      expect(await answersOf(await loaded(ways))).toEqual(own);
    });
  });
}

async function packedExpress(): Promise<PackedFunction | undefined> {
  const { cacheDir, hostEnv } = machineConfig(process.env);
  const storeDir = mkdtempSync(path.join(os.tmpdir(), 'warmpool-store-'));
  try {
    return await packFunction(EXPRESS, { cacheDir, storeDir }, { runtimes: [runtime], env: hostEnv });
  } catch (error) {
    if (error instanceof ToolError) return undefined;
    throw error;
  } finally {
    rmSync(storeDir, { recursive: true, force: true });
  }
}

function write(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
}

/** As whoever packs or fetches the code. */
function list(folder: string): void {
  execFileSync(runtime.command[0] ?? '', [path.join(BOOTSTRAP, 'held/contents.mjs'), folder]);
}
