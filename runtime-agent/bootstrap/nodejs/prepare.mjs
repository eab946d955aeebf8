import path from 'node:path';
import vm from 'node:vm';
import v8 from 'node:v8';
import { crc32 } from 'node:zlib';
import { formatPackages, listPackages } from './held/contents.mjs';
import { findModules } from './prepare/find-modules.mjs';
import { PACK_FILE, preparedTag } from './prepared.mjs';

/**
 * `node prepare.mjs TREE [CHARACTERS]`: compiles the CommonJS modules that the code in TREE can reach and writes them, with where their requests
 * lead and what packages there are, to its output: a line with the place of the file, then the file. Nothing of the code is run.
 * Less source than CHARACTERS (64 Ki) is left alone: to open what was prepared costs about two milliseconds, and compiling that little less.
 */

const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname'];
const MAX_SOURCE_CHARACTERS = 64 * 1024 * 1024;

const [tree = '', atLeast = '65536'] = process.argv.slice(2);
const tag = preparedTag();
const { modules, paths } = findModules(tree);
const flags = eagerFlags();

/** @type {[file: string, length: number, crc: number, at: number, size: number][]} */
const files = [];
/** @type {Buffer[]} */
const blobs = [];
let [at, characters] = [0, 0];
for (const { file, source } of modules) {
  characters += source.length;
  if (characters > MAX_SOURCE_CHARACTERS) break;
  const compiled = compile(source, path.join(tree, file));
  if (compiled === undefined) continue;
  files.push([file, source.length, crc32(source), at, compiled.length]);
  blobs.push(compiled);
  at += compiled.length;
}
if (files.length > 0 && characters >= Number(atLeast)) write();

function write() {
  const list = Buffer.from(formatPackages(listPackages(tree)));
  const index = Buffer.from(JSON.stringify({ files, paths, packages: [at, list.length] }));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(index.length, 0);
  head.writeUInt32LE(crc32(index), 4);
  process.stdout.write(Buffer.concat([Buffer.from(`${tag}/${PACK_FILE}\n`), head, index, ...blobs, list]));
}

/** With all of its functions, also those that a run would compile only when they are called. @param {string} source @param {string} filename */
function compile(source, filename) {
  try {
    const { cachedData } = vm.compileFunction(source, PARAMETERS, { filename, produceCachedData: true });
    if (cachedData === undefined || flags === undefined) return cachedData;
    if (cachedData.readUInt32LE(flags.at) !== flags.eager) return undefined;
    cachedData.writeUInt32LE(flags.lazy, flags.at);
    return cachedData;
  } catch {
    // not CommonJS, or no JavaScript: its own load will say so
    return undefined;
  }
}

/**
 * Tells V8 to compile everything at once. What it writes then bears the mark of that setting in one word of its head and would be
 * refused by an interpreter without it, so that word is put back. If it cannot be found, functions stay out.
 */
function eagerFlags() {
  const lazy = headWords();
  v8.setFlagsFromString('--no-lazy');
  const eager = headWords();
  const changed = eager.flatMap((word, index) => (word === lazy[index] ? [] : [index]));
  const [index] = changed;
  if (changed.length === 1 && index !== undefined) {
    return { at: index * 4, lazy: lazy[index] ?? 0, eager: eager[index] ?? 0 };
  }
  v8.setFlagsFromString('--lazy');
  return undefined;
}

/** Magic, version, source, flags. @returns {number[]} */
function headWords() {
  const { cachedData } = vm.compileFunction('', [], { produceCachedData: true });
  return [0, 1, 2, 3].map((word) => cachedData?.readUInt32LE(word * 4) ?? 0);
}
