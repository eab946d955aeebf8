import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What the packages of a tree consist of, as digests of their files. `node contents.mjs FOLDER` writes them beside the packages, where code is
 * packed or an image is built: reading a thousand files takes as long as importing them.
 *
 * @typedef {Map<string, string | null>} Packages by place (`node_modules/express`, `node_modules/a/node_modules/b`) everything that a
 *   `require` could find there; null: there is something that cannot be compared
 */

const { createHash } = process.getBuiltinModule('node:crypto');

export const LIST_NAME = '.warmpool-packages.json';
const MODULES = 'node_modules';

/** @param {string} tree @returns {Packages} */
export function listPackages(tree) {
  /** @type {Packages} */
  const packages = new Map();
  listFolder(tree, MODULES, packages);
  return packages;
}

/** @param {string} text @returns {Packages | undefined} undefined: it is no such list */
export function parsePackages(text) {
  try {
    return new Map(Object.entries(JSON.parse(text).packages));
  } catch {
    return undefined;
  }
}

/** @param {Packages} packages */
export function formatPackages(packages) {
  return JSON.stringify({ packages: Object.fromEntries(packages) }, undefined, 1);
}

/** @param {string} tree @returns {Packages | undefined} */
export function readPackages(tree) {
  try {
    return parsePackages(readFileSync(path.join(tree, LIST_NAME), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Of the files of a package, without the packages that lie within it. Null where there is anything but files and folders that can be read.
 * @param {string} folder
 * @returns {string | null}
 */
export function digestOf(folder) {
  try {
    const files = filesOf(folder);
    if (files === undefined) return null;
    const total = createHash('sha256');
    for (const file of files.sort()) {
      const content = readFileSync(path.join(folder, file));
      total.update(`${file}\0${content.length}\0`).update(content);
    }
    return `sha256:${total.digest('hex')}`;
  } catch {
    return null;
  }
}

/** @param {string} tree @param {string} folder of packages @param {Packages} packages */
function listFolder(tree, folder, packages) {
  for (const entry of entriesOf(path.join(tree, folder))) {
    const place = `${folder}/${entry.name}`;
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory() && entry.name.startsWith('@')) listFolder(tree, place, packages);
    else {
      packages.set(place, entry.isDirectory() ? digestOf(path.join(tree, place)) : null);
      if (entry.isDirectory()) listFolder(tree, `${place}/${MODULES}`, packages);
    }
  }
}

/** @param {string} folder */
function entriesOf(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** @param {string} folder @param {string} [within] @returns {string[] | undefined} */
function filesOf(folder, within = '') {
  /** @type {string[]} */
  const files = [];
  for (const entry of readdirSync(path.join(folder, within), { withFileTypes: true })) {
    const name = within === '' ? entry.name : `${within}/${entry.name}`;
    if (name === MODULES) continue;
    const found = entry.isFile() ? [name] : entry.isDirectory() ? filesOf(folder, name) : undefined;
    if (found === undefined) return undefined;
    files.push(...found);
  }
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , tree = '.'] = process.argv;
  writeFileSync(path.join(tree, LIST_NAME), formatPackages(listPackages(tree)));
}
