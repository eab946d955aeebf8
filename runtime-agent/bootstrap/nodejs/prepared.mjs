import { closeSync, openSync, readSync } from 'node:fs';
import { Module, createRequire } from 'node:module';
import path from 'node:path';
import { Buffer, JSON, Map, Object, Reflect } from './globals.mjs';

/**
 * Prepared code: what `prepare.mjs` made of a tree, read from a folder beside it (docs/decisions/0017). It saves the compilation of
 * CommonJS modules and the search for what they require. Sources are still read from the tree itself, and whatever does not fit
 * goes the ordinary way.
 *
 * @typedef {{ length: number, crc: number, at: number, size: number }} Compiled of one module, in the file of all
 * @typedef {object} PreparedIndex
 * @property {[file: string, length: number, crc: number, at: number, size: number][]} files
 * @property {[folder: string, request: string, file: string][]} paths
 * @property {[at: number, size: number]} [packages] the list of the packages in the tree
 * @typedef {(this: NodeModule, content: unknown, filename: string, format?: string) => unknown} Compile
 * @typedef {object} ModuleInternals
 * @property {Record<string, string>} _pathCache
 * @property {(folder: string) => string[]} _nodeModulePaths
 * @property {string[]} globalPaths
 * @property {unknown} wrap
 * @property {string[]} wrapper
 * @property {{ _compile: Compile }} prototype
 * @property {Record<string, NodeModule>} _cache
 * @property {NodeJS.RequireExtensions} _extensions
 * @property {(request: string, parent: NodeModule, isMain: boolean, options?: object) => string} _resolveFilename
 * @property {(request: string, parent: NodeModule) => string[] | null} _resolveLookupPaths
 */

const vm = process.getBuiltinModule('node:vm');
const zlib = process.getBuiltinModule('node:zlib');
const v8 = process.getBuiltinModule('node:v8');

const internals = /** @type {ModuleInternals} */ (/** @type {unknown} */ (Module));
const { wrap } = internals;
const wrapper = [...internals.wrapper];

const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];
const MAX_INDEX_BYTES = 16 * 1024 * 1024;
const HEAD_BYTES = 8;

/** In the folder that is beside the code: one folder for each interpreter that its content fits. */
export const PREPARED_FOLDER = 'prepared';
export const PACK_FILE = 'modules.pack';

/** Everything that V8 binds compiled code to, flags and processor features included. */
export function preparedTag() {
  return `nodejs-${process.version}-${process.arch}-${v8.cachedDataVersionTag().toString(16)}`;
}

/** @typedef {{ packages(): string | undefined }} Prepared `packages`: the list of what is in the tree, as `held/contents.mjs` writes it */

/**
 * Lets the modules below `codePath` be loaded from what was prepared for exactly this interpreter, if there is any.
 * @param {string} codePath
 * @returns {Prepared | undefined} what else it says of the tree
 */
export function usePrepared(codePath) {
  const pack = openPack(codePath);
  if (pack === undefined) return undefined;
  const executing = executingSymbol();
  if (executing === undefined) {
    closeSync(pack.fd);
    return undefined;
  }
  knowPaths(codePath, pack.index);
  compileFrom(pack.fd, filesOf(codePath, pack), executing);
  return { packages: () => packagesOf(pack) };
}

/** @param {{ fd: number, index: PreparedIndex, start: number }} pack */
function packagesOf({ fd, index: { packages }, start }) {
  return packages && read(fd, start + packages[0], packages[1]).toString('utf8');
}

/** @param {string} codePath */
function openPack(codePath) {
  const file = path.join(path.dirname(codePath), PREPARED_FOLDER, preparedTag(), PACK_FILE);
  let fd = -1;
  try {
    fd = openSync(file, 'r');
    const head = read(fd, 0, HEAD_BYTES);
    const size = head.readUInt32LE(0);
    if (size > MAX_INDEX_BYTES) throw new RangeError('the index is too large');
    const text = read(fd, HEAD_BYTES, size);
    if (zlib.crc32(text) !== head.readUInt32LE(4)) throw new RangeError('the index is damaged');
    /** @type {PreparedIndex} */
    const index = JSON.parse(text.toString('utf8'));
    return { fd, index, start: HEAD_BYTES + size };
  } catch {
    // not there or not whole: the code is loaded as it is
    if (fd !== -1) closeSync(fd);
    return undefined;
  }
}

/** @param {string} codePath @param {{ index: PreparedIndex, start: number }} pack @returns {Map<string, Compiled>} */
function filesOf(codePath, { index, start }) {
  const files = new Map();
  for (const [file, length, crc, at, size] of index.files) {
    files.set(`${codePath}/${file}`, { length, crc, at: start + at, size });
  }
  return files;
}

/**
 * Fills Node's own memory of where a request leads from a folder. The tree is read-only, and what is found in it comes before
 * whatever is around it, so an answer stays right.
 * @param {string} codePath @param {PreparedIndex} index
 */
function knowPaths(codePath, { paths }) {
  const known = internals._pathCache;
  /** @type {Map<string, string>} */
  const searched = new Map();
  for (const [folder, request, file] of paths) {
    const from = folder === '' ? codePath : `${codePath}/${folder}`;
    let key = from;
    if (request[0] !== '.') {
      key = searched.get(folder) ?? [...internals._nodeModulePaths(from), ...internals.globalPaths].join('\0');
      searched.set(folder, key);
    }
    known[`${request}\0${key}`] ??= `${codePath}/${file}`;
  }
}

/**
 * As `Module.prototype._compile` of Node, line by line, but for where the compiled function comes from.
 * @param {number} fd @param {Map<string, Compiled>} files @param {symbol} executing
 */
function compileFrom(fd, files, executing) {
  const compile = internals.prototype._compile;
  /** @type {Compile} */
  internals.prototype._compile = function _compile(content, filename, format) {
    const known = files.get(filename);
    if (known === undefined || !isPlain(content, format, known)) {
      return Reflect.apply(compile, this, [content, filename, format]);
    }
    const compiled = vm.compileFunction(/** @type {string} */ (content), PARAMETERS, {
      filename,
      cachedData: read(fd, known.at, known.size),
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
    const { exports } = this;
    const state = /** @type {Record<symbol, boolean>} */ (/** @type {unknown} */ (this));
    state[executing] = true;
    const require = requireOf(this);
    const result = Reflect.apply(compiled, exports, [exports, require, this, filename, path.dirname(filename)]);
    state[executing] = false;
    return result;
  };
}

/** Neither another language nor changed by a hook, and nobody needs what only Node's own way does. @param {unknown} content @param {string | undefined} format @param {Compiled} known */
function isPlain(content, format, known) {
  return (
    (format === undefined || format === 'commonjs') &&
    typeof content === 'string' &&
    content.length === known.length &&
    !process.sourceMapsEnabled &&
    internals.wrap === wrap &&
    internals.wrapper[0] === wrapper[0] &&
    internals.wrapper[1] === wrapper[1] &&
    zlib.crc32(content) === known.crc
  );
}

/** What Node gives a module as `require`. @param {NodeModule} module @returns {NodeJS.Require} */
function requireOf(module) {
  /** @param {string} id */
  function require(id) {
    return module.require(id);
  }
  /** @param {string} request @param {{ paths?: string[] }} [options] */
  function resolve(request, options) {
    try {
      // asks the hooks that code may have registered
      return createRequire(module.filename).resolve(request, options);
    } catch (error) {
      if (typeof request !== 'string') throw error;
      return internals._resolveFilename(request, module, false, options);
    }
  }
  /** @param {string} request */
  function paths(request) {
    return createRequire(module.filename).resolve.paths(request) && internals._resolveLookupPaths(request, module);
  }
  resolve.paths = paths;
  return Object.assign(require, {
    resolve,
    main: process.mainModule,
    extensions: internals._extensions,
    cache: internals._cache,
  });
}

/** Node's private mark of a module that is running, by which it notices cycles with ES modules. @returns {symbol | undefined} */
function executingSymbol() {
  const probe = new Module('prepared');
  Reflect.apply(internals.prototype._compile, probe, ['', 'prepared', 'commonjs']);
  return Object.getOwnPropertySymbols(probe).find(({ description }) => description === 'kIsExecuting');
}

/** @param {number} fd @param {number} at @param {number} size */
function read(fd, at, size) {
  const bytes = Buffer.allocUnsafeSlow(size);
  if (readSync(fd, bytes, 0, size, at) !== size) throw new RangeError('the prepared code is cut off');
  return bytes;
}
