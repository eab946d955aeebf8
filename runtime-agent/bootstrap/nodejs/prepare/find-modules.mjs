import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { Module } from 'node:module';
import path from 'node:path';

/**
 * @typedef {object} FoundModules
 * @property {{ file: string, source: string }[]} modules by their path below the tree
 * @property {[folder: string, request: string, file: string][]} paths where a `require` in a folder leads
 */

const ENDINGS = ['.js', '.cjs', '.mjs'];
const MAX_MODULES = 5_000;
const MAX_ROOTS = 1_000;
const MAX_SOURCE_BYTES = 16 * 1024 * 1024;
const REQUIRED = /\brequire\s*\(\s*(['"])([^'"\n]{1,500})\1\s*\)/g;
const IMPORTED = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]{1,500})\1/g;

const loader =
  /** @type {{ _resolveFilename(request: string, parent: object, isMain: boolean, options?: object): string, _nodeModulePaths(folder: string): string[] }} */ (
    /** @type {unknown} */ (Module)
  );

/**
 * The modules that a tree's own files lead to, by what their text says: too many at worst, which costs room and no more.
 * @param {string} tree its real path
 * @returns {FoundModules}
 */
export function findModules(tree) {
  const waiting = ownFiles(tree);
  const seen = new Set(waiting);
  /** @type {FoundModules} */
  const found = { modules: [], paths: [] };
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const source = sourceOf(path.join(tree, file));
    if (source === undefined) continue;
    if (!file.endsWith('.mjs')) found.modules.push({ file, source });
    for (const { request, next, isRequired } of leadsOf(tree, file, source)) {
      if (isRequired) found.paths.push([path.dirname(file) === '.' ? '' : path.dirname(file), request, next]);
      if (seen.has(next) || seen.size >= MAX_MODULES || !ENDINGS.includes(path.extname(next))) continue;
      seen.add(next);
      waiting.push(next);
    }
  }
  found.paths = withoutRepeats(found.paths);
  return found;
}

/** Where a function may begin: everything that is not somebody else's package. @param {string} tree */
function ownFiles(tree) {
  /** @type {string[]} */
  const files = [];
  const folders = [''];
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    for (const entry of readdirSync(path.join(tree, folder), { withFileTypes: true })) {
      const name = path.join(folder, entry.name);
      if (entry.isDirectory() && entry.name !== 'node_modules') folders.push(name);
      else if (entry.isFile() && ENDINGS.includes(path.extname(name))) files.push(name);
      if (files.length >= MAX_ROOTS) return files;
    }
  }
  return files;
}

/** @param {string} tree @param {string} file @param {string} source */
function leadsOf(tree, file, source) {
  const filename = path.join(tree, file);
  const parent = Object.assign(new Module(filename), {
    filename,
    paths: loader._nodeModulePaths(path.dirname(filename)),
  });
  /** @param {RegExp} pattern @param {boolean} isRequired */
  const leads = (pattern, isRequired) =>
    [...source.matchAll(pattern)].flatMap(([, , request = '']) => {
      const next = resolved(tree, request, parent, isRequired);
      return next === undefined ? [] : [{ request, next, isRequired: isRequired && isRemembered(request) }];
    });
  return [...leads(REQUIRED, true), ...leads(IMPORTED, false)];
}

/** @param {string} tree @param {string} request @param {object} parent @param {boolean} isRequired */
function resolved(tree, request, parent, isRequired) {
  try {
    const options = isRequired ? undefined : { conditions: new Set(['node', 'import', 'module-sync', 'node-addons']) };
    const target = loader._resolveFilename(request, parent, false, options);
    const isInside = !path.isAbsolute(request) && target.startsWith(`${tree}/`) && lstatSync(target).isFile();
    return isInside ? path.relative(tree, target) : undefined;
  } catch {
    // written in a comment, made for another platform, optional: whoever asks for it will be told
    return undefined;
  }
}

/** Node asks its memory for these as they are written. @param {string} request */
function isRemembered(request) {
  return request[0] === '.' ? request.startsWith('./') || request.startsWith('../') : request[0] !== '#';
}

/** @param {string} file */
function sourceOf(file) {
  if (lstatSync(file).size > MAX_SOURCE_BYTES) return undefined;
  return readFileSync(file, 'utf8');
}

/** @param {FoundModules['paths']} paths */
function withoutRepeats(paths) {
  return [...new Map(paths.map((each) => [each.join('\0'), each])).values()];
}
