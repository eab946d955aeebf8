import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const BOOTSTRAP = fileURLToPath(new URL('.', import.meta.url));
/** Loads `main.js` of a tree in a fresh process, and says what the module said and whether prepared code was used for it. */
const DRIVER = `
import vm from 'node:vm';
import { createRequire } from 'node:module';
import { usePrepared } from ${JSON.stringify(join(BOOTSTRAP, 'prepared.mjs'))};
const [tree, mode] = process.argv.slice(2);
let [taken, rejected] = [0, 0];
const { compileFunction } = vm;
vm.compileFunction = (...words) => {
  const compiled = compileFunction(...words);
  if (compiled.cachedDataRejected) rejected++;
  else taken++;
  return compiled;
};
const isUsed = mode === 'with' && usePrepared(tree) !== undefined;
const said = await createRequire(import.meta.url)(tree + '/main.js');
console.log(JSON.stringify({ isUsed, taken, rejected, said: await said() }));
`;

const FILES: Record<string, string> = {
  'main.js': `#!/usr/bin/env node
'use strict';
// a module that is not prepared passes one more line of the loader
Error.stackTraceLimit = 100;
const said = { arguments: arguments.length, isExports: this === module.exports, filename: __filename, dirname: __dirname };
said.lazy = require('./lib/lazy').toString();
said.package = require('dual');
said.self = require('./lib/cycle-a').seen;
said.json = require('./data.json');
said.noEnding = require('./lib');
said.esm = Object.keys(require('./esm.mjs'));
said.bom = require('./bom.js');
said.linked = require('./linked').filename === require('./lib/where').filename;
const said2 = (act) => { try { return act(); } catch (error) { return [error.code, error.message, error.requireStack, frames(error)]; } };
const frames = (error) => error.stack.split('\\n').filter((line) => line.includes(__dirname)).map((line) => line.trim());
said.thrown = said2(() => require('./lib/throws'));
said.syntax = said2(() => require('./lib/broken'));
said.missing = said2(() => require('./lib/asks-for-missing'));
said.resolve = [require.resolve('dual'), require.resolve('./lib'), require.resolve('fs'), require.resolve('node:fs')];
said.resolvePaths = [require.resolve.paths('dual'), require.resolve.paths('./lib'), require.resolve.paths('fs')];
said.resolveElsewhere = require.resolve('./where', { paths: [__dirname + '/lib'] });
said.resolveBad = said2(() => require.resolve(7));
said.require = [Object.keys(require), require.length, require.name, Object.keys(require.resolve), require.main === process.mainModule];
said.cache = Object.keys(require.cache).filter((file) => file.startsWith(__dirname));
said.children = module.children.map((child) => [child.id, child.loaded, child.filename, child.children.length]);
said.module = [module.id, module.path, module.loaded, module.paths, Object.keys(module)];
said.parent = require('./lib/where').parent;
module.exports = async () => ({
  ...said,
  dynamic: (await import('./esm.mjs')).default,
  dynamicPackage: (await import('dual')).default,
  loaded: module.loaded,
  wrapped: require('./lib/patches')(),
  again: (delete require.cache[require.resolve('./lib/where')], require('./lib/where') !== said),
});
`,
  'data.json': '{"a": [1]}',
  'esm.mjs': 'import dual from "dual"; export default dual.name + import.meta.url.slice(-7); export const x = 1;',
  'bom.js': '\ufeffmodule.exports = "after a byte order mark";',
  'lib/index.js': 'module.exports = "the folder\'s own";',
  'lib/lazy.js': 'module.exports = function lazy(a, b) { /* kept */ return a + b; };',
  'lib/where.js': 'exports.filename = __filename; exports.parent = module.parent && module.parent.id;',
  'lib/cycle-a.js': 'exports.early = 1; exports.seen = require("./cycle-b").seen;',
  'lib/cycle-b.js': 'exports.seen = Object.keys(require("./cycle-a"));',
  'lib/throws.js': 'function inner() {\n  throw new TypeError("thrown at its import");\n}\ninner();',
  'lib/broken.js': 'const = 1;',
  'lib/asks-for-missing.js': 'require("./is-not-there");',
  'lib/patched.js': 'module.exports = "as it is written";',
  'lib/patches.js': `
const Module = require('module');
module.exports = () => {
  const own = Module._extensions['.js'];
  const { _compile } = Module.prototype;
  Module._extensions['.js'] = (module, filename) => {
    const compile = module._compile;
    module._compile = function (content, ...rest) { return compile.call(this, content.replace('as it is', 'as it was'), ...rest); };
    own(module, filename);
  };
  try { return require('./patched'); } finally { Module._extensions['.js'] = own; Module.prototype._compile = _compile; }
};
`,
  'node_modules/dual/package.json': '{"name": "dual", "exports": {"import": "./index.mjs", "require": "./index.cjs"}}',
  'node_modules/dual/index.cjs': 'exports.name = "for require"; exports.inner = require("inner");',
  'node_modules/dual/index.mjs': 'export default { name: "for import" };',
  'node_modules/dual/node_modules/inner/package.json': '{"name": "inner", "main": "./main"}',
  'node_modules/dual/node_modules/inner/main.js': 'module.exports = [__filename, require("./side")];',
  'node_modules/dual/node_modules/inner/side.js': 'module.exports = "side";',
  'node_modules/inner/index.js': 'module.exports = "the outer one";',
};

interface Outcome {
  isUsed: boolean;
  taken: number;
  rejected: number;
  said: Record<string, unknown>;
}
let folder: string;
let tree: string;
let packFolder: string;

function write(root: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

/** As the host-agent does. */
function prepare(of: string): string {
  const mayRead = [`--allow-fs-read=${BOOTSTRAP}*`, `--allow-fs-read=${of}/*`];
  const words = ['--permission', ...mayRead, join(BOOTSTRAP, 'prepare.mjs'), of, '0'];
  const output = execFileSync(process.execPath, words, { env: {}, cwd: '/', maxBuffer: 2 ** 28, stdio: 'pipe' });
  const end = output.indexOf('\n');
  if (end === -1) return '';
  const file = join(dirname(of), 'prepared', output.toString('latin1', 0, end));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, output.subarray(end + 1));
  return dirname(file);
}

function load(mode: 'with' | 'without', flags: string[] = []): Outcome {
  const words = [...flags, join(folder, 'driver.mjs'), tree, mode];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', stdio: 'pipe' })) as Outcome;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpool-prepared-'));
  tree = join(folder, 'tree');
  write(tree, FILES);
  symlinkSync('lib/where.js', join(tree, 'linked.js'));
  writeFileSync(join(folder, 'driver.mjs'), DRIVER);
  packFolder = prepare(tree);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('prepared code of Node', () => {
  test('makes no difference that the code could see, and is taken for each module that it fits', () => {
    const plain = load('without');
    const fast = load('with');
    expect(fast.said).toEqual(plain.said);
    expect(plain).toMatchObject({ isUsed: false, taken: 0 });
    expect(fast).toMatchObject({ isUsed: true, rejected: 0 });
    // all but the ES module, the broken one, the one with a byte order mark, and the one that a hook changed
    expect(fast.taken).toBeGreaterThanOrEqual(10);
  });

  test('is not used by an interpreter with other flags', () => {
    expect(load('with', ['--stack-size=900'])).toMatchObject({ isUsed: false, taken: 0 });
  });

  test('is not used by another version, nor when it is cut off or damaged', () => {
    const other = packFolder.replace('nodejs-v', 'nodejs-v9');
    renameSync(packFolder, other);
    expect(load('with')).toMatchObject({ isUsed: false });
    mkdirSync(packFolder);
    writeFileSync(join(packFolder, 'modules.pack'), Buffer.alloc(20, 1));
    expect(load('with')).toMatchObject({ isUsed: false });
    rmSync(packFolder, { recursive: true });
    renameSync(other, packFolder);
    expect(load('with')).toMatchObject({ isUsed: true });
  });

  test('leaves compilation to Node while source maps are on', () => {
    expect(load('with', ['--enable-source-maps'])).toMatchObject({ isUsed: true, taken: 0 });
  });

  test('is made without running a line of the code', () => {
    const other = join(folder, 'other', 'tree');
    const mark = join(folder, 'ran');
    const act = `require("node:fs").writeFileSync(${JSON.stringify(mark)}, "")`;
    write(other, { 'index.js': `${act}; require("./b")`, 'b.cjs': act, 'c.mjs': `import "./b.cjs"; ${act}` });
    expect(readdirSync(prepare(other))).toEqual(['modules.pack']);
    expect(existsSync(mark)).toBe(false);
  });

  test('is nothing for a tree without CommonJS modules', () => {
    const other = join(folder, 'python', 'tree');
    write(other, { 'index.py': 'x = 1' });
    expect(prepare(other)).toBe('');
  });
});
