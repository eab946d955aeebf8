import { readFileSync } from 'node:fs';
import { Module } from 'node:module';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { noReads, recordEnvironment } from './environment-reads.mjs';
import { watchReplaced } from './functions-to-be-replaced.mjs';
import { esModuleProblem, isEsModule, passedOnBy, textProblem } from './module-text.mjs';
import { isNotFound, leadingTo, nameFiles } from './not-found.mjs';
import { placeOf, placesBefore } from './places.mjs';

/**
 * Runs the modules of packages under the names that a function's own copies will have, and notes what each of them had to do with
 * anything else.
 *
 * @import { EnvironmentReads } from './environment-reads.mjs'
 * @import { Surroundings } from './surroundings.mjs'
 *
 * @typedef {object} HeldModule
 * @property {string} file as the function's own
 * @property {NodeModule} module
 * @property {number} order in which they began to run
 * @property {number} size in bytes
 * @property {number} length in characters
 * @property {number} crc of its text
 * @property {string} text
 * @property {Set<string>} requires files
 * @property {Set<string>} absent places where it looked and must find nothing again
 * @property {Set<string>} places of packages that it asked for
 * @property {EnvironmentReads} env
 * @property {boolean} readsFolder the working folder
 * @property {string | undefined} problem why it cannot be held
 *
 * @typedef {(request: string, parent: NodeModule, isMain: boolean, options?: { paths?: string[] }) => string} Resolve
 * @typedef {object} ModuleInternals
 * @property {Record<string, NodeModule>} _cache
 * @property {Record<string, string>} _pathCache
 * @property {Record<string, (module: NodeModule, file: string) => void>} _extensions
 * @property {Resolve} _resolveFilename
 * @property {(folder: string) => string[]} _nodeModulePaths
 * @property {(request: string, parent: NodeModule | { path: string } | undefined, isMain: boolean) => unknown} _load
 * @property {{ _compile(this: NodeModule, content: string, file: string, format?: string): unknown }} prototype
 */

const internals = /** @type {ModuleInternals} */ (/** @type {unknown} */ (Module));
const NOT_NOW = new Error('only to be forgotten');

export class Recording {
  /** @type {Map<string, HeldModule>} by the file of the function */
  modules = new Map();
  #poolFolder;
  #codeFolder;
  #surroundings;
  /** @type {HeldModule[]} */
  #running = [];
  /** @type {[folder: string, request: string][]} */
  #requests = [];
  /** @type {(() => void)[]} */
  #undo = [];

  /** @param {{ poolFolder: string, codeFolder: string, surroundings: Surroundings }} deps `poolFolder` has the pool's `node_modules`; `codeFolder` is where the function's code will be */
  constructor({ poolFolder, codeFolder, surroundings }) {
    this.#poolFolder = poolFolder;
    this.#codeFolder = codeFolder;
    this.#surroundings = surroundings;
  }

  start() {
    const { _resolveFilename: resolve, _load: load } = internals;
    const { '.js': loadScript, '.json': loadJson } = internals._extensions;
    const argv = process.argv.slice();
    const cwd = Reflect.get(process, 'cwd');
    const releaseReplaced = watchReplaced((name) => {
      const running = this.#running.at(-1);
      if (running !== undefined) running.problem ??= `asks for ${name}`;
    });
    const returnEnvironment = recordEnvironment(() => this.#running.at(-1)?.env);
    internals._resolveFilename = (...request) => this.#resolve(resolve, ...request);
    internals._load = (request, parent, isMain) => this.#load(load, request, parent, isMain);
    internals._extensions['.js'] = (module, file) => this.#run(module, file, loadScript);
    internals._extensions['.json'] = (module, file) => this.#run(module, file, loadJson);
    process.cwd = () => {
      const running = this.#running.at(-1);
      if (running === undefined) return cwd.call(process);
      running.readsFolder = true;
      return this.#codeFolder;
    };
    process.argv.splice(0, argv.length, process.execPath, path.join(this.#codeFolder, 'index.js'));
    this.#undo = [
      () => this.#forgetRequests(load),
      () => {
        Object.assign(internals, { _resolveFilename: resolve, _load: load });
        Object.assign(internals._extensions, { '.js': loadScript, '.json': loadJson });
        process.cwd = cwd;
        process.argv.splice(0, process.argv.length, ...argv);
        returnEnvironment();
        releaseReplaced();
      },
    ];
  }

  /** Leaves nothing behind but the modules themselves. */
  stop() {
    for (const file of Object.keys(internals._cache)) if (this.#isOurs(file)) delete internals._cache[file];
    for (const [key, file] of Object.entries(internals._pathCache))
      if (this.#isOurs(file)) delete internals._pathCache[key];
    for (const undo of this.#undo) undo();
  }

  /** @param {string} name of a package @returns {string} the file, as the function's, that it begins with */
  import(name) {
    const importer = this.#importer();
    const file = internals._resolveFilename(name, importer, false);
    internals._load(name, importer, false);
    const held = this.modules.get(this.#asFunctions(file));
    if (held === undefined) throw new Error(`${file} is not a module of JavaScript`);
    held.module.parent = undefined;
    return held.file;
  }

  /** @returns {string | undefined} in words, if a module did */
  changedEnvironment() {
    const isChanged = [...this.modules.values()].some((each) => each.env.isWritten);
    return isChanged ? 'its import changes the environment' : undefined;
  }

  /** Where a package is found. @param {string} name @returns {string} */
  find(name) {
    const importer = this.#importer();
    return this.#asPools(internals._resolveFilename(name, importer, false));
  }

  /** Looks like a module of the function's. */
  #importer() {
    const file = path.join(this.#codeFolder, 'index.js');
    const importer = new Module(file);
    return Object.assign(importer, { filename: file, paths: internals._nodeModulePaths(this.#codeFolder) });
  }

  /** @param {Resolve} resolve @param {Parameters<Resolve>} words */
  #resolve(resolve, ...[request, parent, isMain, options]) {
    if (Module.isBuiltin(request)) return resolve.call(Module, request, parent, isMain, options);
    const asker = parent?.filename ?? '';
    if (!this.#isOurs(asker)) return resolve.call(Module, request, parent, isMain, options);
    const poolFile = this.#asPools(asker);
    const paths = internals
      ._nodeModulePaths(path.dirname(poolFile))
      .filter((folder) => folder.startsWith(`${this.#poolFolder}/`));
    const atPool = Object.assign(new Module(poolFile), { filename: poolFile, paths });
    const held = this.modules.get(this.#asFunctions(asker));
    try {
      const found = resolve.call(Module, this.#asPools(request), atPool, isMain, options);
      if (!found.startsWith(`${this.#poolFolder}/node_modules/`))
        return this.#notFound(held, request, `finds ${request} in ${found}`);
      this.#noteFound(held, asker, request, found);
      // Node keeps ES modules by their name for good: those of the pool must not have a function's
      return isEsModule(found) || held?.module.filename === poolFile ? found : this.#asFunctions(found);
    } catch (error) {
      for (const place of placesBefore(this.#below(asker), request)) held?.absent.add(place);
      if (isNotFound(error))
        nameFiles(
          leadingTo(parent, (file) => this.modules.has(file)),
          error,
        );
      throw error;
    }
  }

  /** @param {HeldModule | undefined} held @param {string} request @param {string} problem @returns {never} */
  #notFound(held, request, problem) {
    if (held !== undefined) held.problem ??= problem;
    throw Object.assign(new Error(`Cannot find module '${request}'`), { code: 'MODULE_NOT_FOUND' });
  }

  /** @param {HeldModule | undefined} held @param {string} asker @param {string} request @param {string} found */
  #noteFound(held, asker, request, found) {
    if (held === undefined) return;
    const place = placeOf(this.#below(found));
    if (place === undefined) return void (held.problem ??= `asks for ${request}, which is in no package`);
    held.places.add(place);
    if (place === placeOf(this.#below(asker))) return;
    for (const nearer of placesBefore(
      this.#below(asker),
      place.slice(place.lastIndexOf('node_modules/') + 13),
      place,
    )) {
      held.absent.add(nearer);
    }
  }

  /** @param {ModuleInternals['_load']} load @param {Parameters<ModuleInternals['_load']>} words */
  #load(load, ...[request, parent, isMain]) {
    const asker = parent instanceof Module ? parent : undefined;
    const held = this.modules.get(this.#asFunctions(asker?.filename ?? ''));
    if (!Module.isBuiltin(request) && asker !== undefined && this.#isOurs(asker.filename)) {
      this.#requests.push([asker.path, request]);
      const file = this.#asFunctions(internals._resolveFilename(request, asker, isMain));
      held?.requires.add(file);
      if (file.endsWith('.node')) throw compiledCode(held, file);
    }
    const exports = load.call(Module, request, parent, isMain);
    // what is there before anybody had the chance to replace it
    if (Module.isBuiltin(request)) this.#surroundings.addBuiltin(request, exports);
    return exports;
  }

  /** @param {NodeModule} module @param {string} file @param {((module: NodeModule, file: string) => void) | undefined} otherwise */
  #run(module, file, otherwise) {
    if (!this.#isOurs(file)) return otherwise?.(module, file);
    const poolFile = this.#asPools(file);
    const bytes = readFileSync(poolFile);
    const text = bytes.toString('utf8');
    const isPools = file === poolFile;
    const isEs = isEsModule(poolFile);
    /** @type {HeldModule} */
    const held = {
      file: this.#asFunctions(file),
      module,
      order: this.modules.size,
      ...{ size: bytes.length, length: text.length, crc: crc32(text), text },
      ...{ requires: new Set(), absent: new Set(), places: new Set(), env: noReads(), readsFolder: false },
      problem: isEs ? esModuleProblem(text) : textProblem(text, isPools),
    };
    const place = placeOf(this.#below(file));
    if (place === undefined) held.problem ??= 'is in no package';
    else held.places.add(place);
    if (isEs) for (const next of passedOnBy(text)) held.requires.add(path.join(path.dirname(held.file), next));
    if (this.modules.has(held.file)) held.problem ??= 'is loaded as two modules';
    this.modules.set(held.file, held);
    this.#running.push(held);
    try {
      if (file.endsWith('.json')) Object.assign(module, { exports: JSON.parse(text.replace(/^\uFEFF/, '')) });
      else if (isEs || isPools) otherwise?.(module, file);
      else internals.prototype._compile.call(module, text, file, 'commonjs');
    } finally {
      this.#running.pop();
    }
  }

  /** Node remembers where a request from a folder led, and would go there again as long as there is something. @param {ModuleInternals['_load']} load */
  #forgetRequests(load) {
    internals._resolveFilename = () => {
      throw NOT_NOW;
    };
    for (const [folder, request] of this.#requests) {
      try {
        load.call(Module, request, { path: folder }, false);
      } catch (error) {
        if (error !== NOT_NOW) throw error;
      }
    }
  }

  /** @param {string} file */
  #isOurs(file) {
    return file.startsWith(`${this.#codeFolder}/`) || file.startsWith(`${this.#poolFolder}/`);
  }

  /** @param {string} file */
  #asPools(file) {
    return file.startsWith(`${this.#codeFolder}/`) ? `${this.#poolFolder}/${this.#below(file)}` : file;
  }

  /** @param {string} file */
  #asFunctions(file) {
    return file.startsWith(`${this.#poolFolder}/`) ? `${this.#codeFolder}/${this.#below(file)}` : file;
  }

  /** @param {string} file of the pool or the function */
  #below(file) {
    const folder = file.startsWith(`${this.#codeFolder}/`) ? this.#codeFolder : this.#poolFolder;
    return file.slice(folder.length + 1);
  }
}

/** Whoever catches this has another module than it will have. @param {HeldModule | undefined} held @param {string} file */
function compiledCode(held, file) {
  const problem = `uses compiled code (${path.basename(file)})`;
  if (held !== undefined) held.problem ??= problem;
  return new Error(problem);
}
