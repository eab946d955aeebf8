import { readFileSync, statSync } from 'node:fs';
import { Module } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { AgentError } from './errors.mjs';
import { JSON, Object, Set } from './globals.mjs';

/** TypeScript comes last: where somebody has compiled it, that is what is meant. */
const MODULE_ENDINGS = ['.js', '.cjs', '.mjs', '.ts', '.cts', '.mts'];

/**
 * The file of kind `http`.
 * @param {string} codePath @param {string} handler
 */
export function findMainFile(codePath, handler) {
  const candidates = [handler, ...MODULE_ENDINGS.map((ending) => handler + ending)];
  const file = candidates.find((name) => isFile(path.join(codePath, name)));
  if (file !== undefined) return path.join(codePath, file);
  throw new AgentError('HandlerNotFound', `there is no file ${handler} in the code`, { phase: 'import' });
}

/**
 * `index.handler`: the module `index` and its export `handler`; `index.api.get`: export `api.get` of `index` unless there is a
 * module `index.api`.
 * @param {string} codePath @param {string} handler
 */
export function findHandlerFile(codePath, handler) {
  const nameStart = handler.lastIndexOf('/') + 1;
  const lastDot = handler.lastIndexOf('.');
  for (let dot = lastDot; dot > nameStart; dot = handler.lastIndexOf('.', dot - 1)) {
    const name = handler.slice(0, dot);
    const ending = MODULE_ENDINGS.find((each) => isFile(path.join(codePath, name + each)));
    if (ending !== undefined) return { file: path.join(codePath, name + ending), exportName: handler.slice(dot + 1) };
  }
  if (lastDot <= nameStart || lastDot === handler.length - 1) {
    throw new AgentError(
      'HandlerNotFound',
      `the handler "${handler}" must be <module>.<export>, for example "index.handler"`,
      {
        phase: 'handler',
      },
    );
  }
  const module = handler.slice(0, lastDot);
  const wanted = MODULE_ENDINGS.map((ending) => module + ending).join(', ');
  throw new AgentError('HandlerNotFound', `the handler is "${handler}", but the code has none of ${wanted}`, {
    phase: 'handler',
  });
}

/**
 * Runs the module. CommonJS, and ES modules that need no waiting, run before this returns.
 * @param {string} file @param {boolean} isMain `require.main === module` holds in it
 * @returns {unknown} the exports, or a promise of them
 */
export function startImport(file, isMain) {
  if (isEsModule(file)) return importModule(file);
  try {
    return loader._load(file, null, isMain);
  } catch (error) {
    // a .js file without "type" that is an ES module by its syntax, with top-level await
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ERR_REQUIRE_ASYNC_MODULE') return importModule(file);
    throw error;
  }
}

/**
 * @param {unknown} exports @param {string} exportName @param {string} handler
 * @returns {(event: unknown, context: unknown) => unknown}
 */
export function pickHandler(exports, exportName, handler) {
  const holders = [exports, member(exports, 'default')];
  const candidates = holders.map((holder) => exportName.split('.').reduce(member, holder));
  const found = candidates.find((candidate) => typeof candidate === 'function');
  if (found !== undefined) return /** @type {(event: unknown, context: unknown) => unknown} */ (found);
  const other = candidates.find((candidate) => candidate !== undefined);
  const facts = { phase: 'handler' };
  if (other !== undefined) {
    const words = `the handler "${handler}" names the export "${exportName}", which is ${kindOf(other)}, not a function`;
    throw new AgentError('HandlerNotFound', words, facts);
  }
  const names = [...new Set(holders.flatMap(namesOf))].filter((name) => name !== 'module.exports');
  const there =
    names.length === 0 ? 'the module exports nothing' : `the module exports ${names.slice(0, 50).join(', ')}`;
  throw new AgentError(
    'HandlerNotFound',
    `the handler "${handler}" names the export "${exportName}", but ${there}`,
    facts,
  );
}

/** What `require` itself calls; only so can a file be run as the main program. */
const loader = /** @type {{ _load(file: string, parent: null, isMain: boolean): unknown }} */ (
  /** @type {unknown} */ (Module)
);

/** @param {string} file */
function importModule(file) {
  return import(pathToFileURL(file).href);
}

/** @param {string} file */
function isEsModule(file) {
  if (/\.m[jt]s$/.test(file)) return true;
  if (/\.c[jt]s$/.test(file)) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const packageFile = path.join(folder, 'package.json');
    if (isFile(packageFile)) {
      /** @type {{ type?: unknown } | null} */
      const description = JSON.parse(readFileSync(packageFile, 'utf8'));
      return description?.type === 'module';
    }
    if (folder === path.dirname(folder)) return false;
  }
}

/** @param {unknown} holder @param {string} name @returns {unknown} */
function member(holder, name) {
  if ((typeof holder !== 'object' && typeof holder !== 'function') || holder === null) return undefined;
  return /** @type {Record<string, unknown>} */ (holder)[name];
}

/** @param {unknown} holder @returns {string[]} */
function namesOf(holder) {
  return (typeof holder === 'object' || typeof holder === 'function') && holder !== null ? Object.keys(holder) : [];
}

/** @param {unknown} value */
function kindOf(value) {
  if (value === null) return 'null';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** @param {string} file */
function isFile(file) {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}
