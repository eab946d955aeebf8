import { existsSync, statSync } from 'node:fs';
import { Module } from 'node:module';
import path from 'node:path';
import { Map, Object, Reflect, Set } from '../globals.mjs';
import { parsePackages, readPackages } from './contents.mjs';
import { namesVariable } from './environment-reads.mjs';

/**
 * @import { HeldModule } from './recording.mjs'
 * @import { Packages } from './contents.mjs'
 * @import { Surroundings } from './surroundings.mjs'
 *
 * @typedef {(this: NodeModule, content: unknown, file: string, format?: string) => unknown} Compile
 * @typedef {object} ModuleInternals
 * @property {Record<string, NodeModule>} _cache
 * @property {(folder: string) => string[]} _nodeModulePaths
 * @property {unknown} wrap
 * @property {string[]} wrapper
 * @property {{ _compile: Compile }} prototype
 *
 * @typedef {object} HeldDeps
 * @property {string} codeFolder where a function's code is, if it is to be given anything
 * @property {Map<string, HeldModule>} modules by the file of the function
 * @property {Map<string, string>} digests of the packages that they are of, by place
 * @property {Surroundings} surroundings
 * @property {ReadonlySet<string>} variables that there were
 */

const { crc32 } = process.getBuiltinModule('node:zlib');
const internals = /** @type {ModuleInternals} */ (/** @type {unknown} */ (Module));
const { wrap } = internals;
const REHEARSALS = 4;
const wrapper = [...internals.wrapper];

/**
 * Modules of the pool's packages, in memory but out of sight. Where a function is about to run one of its own, and everything that this
 * one's code could see is as it was when the pool ran it, it gets the pool's.
 */
export class HeldModules {
  #deps;
  #areThereHooks = false;
  /** @type {Set<HeldModule>} */
  #given = new Set();
  /** @type {Packages | undefined} */
  #packages;
  #isListExact = false;

  /** @param {HeldDeps} deps */
  constructor(deps) {
    this.#deps = deps;
  }

  /** To be called when the process is standby but for that. */
  becomeReady() {
    const hooks = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (Module));
    const { register, registerHooks } = Module;
    Object.assign(hooks, {
      register: this.#noticed(register),
      registerHooks: this.#noticed(registerHooks),
    });
    this.#deps.surroundings.settle();
    this.#rehearse();
  }

  /** Asks what the load will ask, so that it finds the way there compiled; nothing is where the code will be yet. */
  #rehearse() {
    const { digests, modules, surroundings } = this.#deps;
    const packages = new Map(digests);
    for (let round = 0; round < REHEARSALS; round++) {
      for (const held of modules.values()) this.#hasSurroundings(held, packages);
      surroundings.changedFunction();
    }
  }

  /**
   * From now on the code's modules may be given.
   * @param {string} codePath
   * @param {() => string | undefined} exactList of the packages in the code, from somebody who has read this very tree
   */
  offer(codePath, exactList) {
    const { codeFolder, modules, surroundings } = this.#deps;
    if (codePath !== codeFolder) return;
    const compile = internals.prototype._compile;
    const mayGive = (/** @type {HeldModule} */ held, /** @type {unknown} */ text, /** @type {NodeModule} */ own) => {
      this.#packages ??= this.#listed(exactList());
      return this.#isSame(held, text, own, this.#packages);
    };
    const give = (/** @type {HeldModule} */ held, /** @type {NodeModule} */ own) => this.#give(held, own);
    /** @type {Compile} */
    internals.prototype._compile = function _compile(content, filename, format) {
      const held = modules.get(filename);
      if (held === undefined || !mayGive(held, content, this)) {
        return Reflect.apply(compile, this, [content, filename, format]);
      }
      give(held, this);
      return undefined;
    };
    surroundings.settleFunction(internals.prototype, '_compile');
  }

  /** Nothing is in an empty list. @param {string | undefined} exactList @returns {Packages} */
  #listed(exactList) {
    const exact = exactList === undefined ? undefined : parsePackages(exactList);
    this.#isListExact = exact !== undefined;
    return exact ?? readPackages(this.#deps.codeFolder) ?? new Map();
  }

  /** @param {HeldModule} held @param {unknown} text @param {NodeModule} own @param {Packages} packages */
  #isSame(held, text, own, packages) {
    if (typeof text !== 'string' || text.length !== held.length || crc32(text) !== held.crc) return false;
    if (this.#areThereHooks || isHooked(own) || process.sourceMapsEnabled || !isWrapperPlain()) return false;
    const needs = this.#needsOf(held);
    return (
      needs !== undefined &&
      needs.every((each) => this.#isFree(each, own) && this.#hasSurroundings(each, packages)) &&
      this.#deps.surroundings.changedFunction() === undefined &&
      !isPackageAbove(this.#deps.codeFolder)
    );
  }

  /** Itself and all that it requires, in the order in which they ran; undefined if one of them cannot be held. @param {HeldModule} held */
  #needsOf(held) {
    /** @type {Set<HeldModule>} */
    const needs = new Set([held]);
    for (const { requires, problem } of needs) {
      if (problem !== undefined) return undefined;
      for (const file of requires) {
        const next = this.#deps.modules.get(file);
        if (next === undefined) return undefined;
        needs.add(next);
      }
    }
    return [...needs].sort((a, b) => a.order - b.order);
  }

  /** Whether the function has no other module in its place, and has not thrown the given one away. @param {HeldModule} held @param {NodeModule} own */
  #isFree(held, own) {
    const known = internals._cache[held.file];
    if (known === undefined || known === own || isOnlyLinked(known)) return !this.#given.has(held);
    return known === held.module;
  }

  /** @param {HeldModule} held @param {Packages} packages */
  #hasSurroundings({ file, size, places, absent, env, text, readsFolder }, packages) {
    const { codeFolder, digests, variables } = this.#deps;
    for (const place of places) {
      const digest = digests.get(place);
      if (digest === undefined || packages.get(place) !== digest) return false;
    }
    for (const place of absent) if (packages.has(place)) return false;
    for (const [name, value] of env.values) if (process.env[name] !== value) return false;
    if (env.isListed) {
      const now = new Set(Object.keys(process.env));
      for (const name of now) if (!variables.has(name) && namesVariable(text, name)) return false;
      for (const name of variables) if (!now.has(name) && namesVariable(text, name)) return false;
    }
    if (readsFolder && process.cwd() !== codeFolder) return false;
    // a list that is older than the files shows in their sizes
    return this.#isListExact || statSync(file, { throwIfNoEntry: false })?.size === size;
  }

  /** @param {HeldModule} held @param {NodeModule} own that Node is about to run */
  #give(held, own) {
    for (const each of this.#needsOf(held) ?? []) {
      const known = internals._cache[each.file];
      this.#given.add(each);
      internals._cache[each.file] = each.module;
      if (known !== undefined && known !== each.module) replace(known, each.module);
    }
    // Node sets it, as after running it
    own.loaded = false;
  }

  /** @param {Function} register of loader hooks, which see each module that is loaded @returns {Function} */
  #noticed(register) {
    const notice = () => (this.#areThereHooks = true);
    return Object.defineProperties(
      /** @this {unknown} @param {unknown[]} words */
      function (...words) {
        notice();
        return Reflect.apply(register, this, words);
      },
      Object.getOwnPropertyDescriptors(register),
    );
  }
}

/** An `import` has made it and nobody has begun to run it. @param {NodeModule} module */
function isOnlyLinked(module) {
  return !module.loaded && markOf(module, 'kIsCachedByESMLoader') === true && markOf(module, 'kIsExecuting') !== true;
}

/** Where there are loader hooks, Node makes a URL of a module's name for them. @param {NodeModule} module */
function isHooked(module) {
  return markOf(module, 'kURL') !== undefined;
}

/** @param {NodeModule} module @param {string} name of a private symbol of Node */
function markOf(module, name) {
  const mark = Object.getOwnPropertySymbols(module).find(({ description }) => description === name);
  return mark && /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (module))[mark];
}

/** Whoever has got hold of the function's own finds in it what the given one has. @param {NodeModule} own @param {NodeModule} given */
function replace(own, given) {
  const { parent, id } = own;
  Object.assign(given, { parent, id });
  Object.assign(own, { exports: given.exports, children: given.children, loaded: true });
  const siblings = parent?.children ?? [];
  const index = siblings.indexOf(own);
  if (index !== -1) siblings[index] = given;
}

function isWrapperPlain() {
  return internals.wrap === wrap && internals.wrapper[0] === wrapper[0] && internals.wrapper[1] === wrapper[1];
}

/** What a package looks for in vain is then looked for there. @param {string} codeFolder */
function isPackageAbove(codeFolder) {
  return internals._nodeModulePaths(path.dirname(codeFolder)).some((folder) => existsSync(folder));
}
