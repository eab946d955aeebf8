import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What the text of a module says about it. */

const ASKS_WHO_IMPORTS =
  /\bmodule\s*\.\s*parent\b|\brequire\s*\.\s*main\b(?!\s*={2,3}\s*module\b)|\bprocess\s*\.\s*mainModule\b/;
const ASKS_WHERE = /\b__dirname\b|\b__filename\b|\bmodule\s*\.\s*(?:filename|path|paths|id)\b/;
const COMMENTS = /\/\*[^]*?\*\/|^\s*\/\/.*$/gm;
/** Gives on what other modules have, and has no state. */
const PASSES_ON =
  /^(?:\s*(?:import\s[^;'"()]*\sfrom\s*(['"])\.\.?\/[^'"]*\1|export\s+default\s+[\w$]+|export\s*\{[^}]*\}(?:\s*from\s*(['"])\.\.?\/[^'"]*\2)?)\s*;)*\s*$/;

/** @param {string} text of CommonJS @param {boolean} isPools it runs under the pool's name @returns {string | undefined} why it cannot be held */
export function textProblem(text, isPools) {
  if (ASKS_WHO_IMPORTS.test(text)) return 'asks who imports it';
  return isPools && ASKS_WHERE.test(text) ? 'asks where it is' : undefined;
}

/** @param {string} text of an ES module @returns {string | undefined} why it cannot be held */
export function esModuleProblem(text) {
  return PASSES_ON.test(text.replace(COMMENTS, '')) ? undefined : 'is an ES module';
}

/** @param {string} text of an ES module without a problem @returns {string[]} the modules that it passes on */
export function passedOnBy(text) {
  return Array.from(text.replace(COMMENTS, '').matchAll(/\sfrom\s*(['"])(.*?)\1/g), ([, , request = '']) => request);
}

/** By its name and its package. @param {string} file */
export function isEsModule(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); path.basename(folder) !== 'node_modules'; folder = path.dirname(folder)) {
    if (folder === path.dirname(folder)) return false;
    try {
      return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
    } catch {
      // none here
    }
  }
  return false;
}
