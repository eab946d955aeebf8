import { createHook } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { Module } from 'node:module';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { digestOf } from './contents.mjs';
import { HeldModules } from './held-modules.mjs';
import { placeOf } from './places.mjs';
import { Recording } from './recording.mjs';
import { Surroundings } from './surroundings.mjs';

/** @import { HeldModule } from './recording.mjs' */

/** What an import may leave: nothing that comes back by itself. */
const HARMLESS_RESOURCES = new Set(['PROMISE', 'TickObject', 'Microtask', 'DNSCHANNEL']);
const NAME = /^(?<name>(?:@[^/@]+\/)?[^@]+)(?:@(?<version>\d[^@]*))?$/;

/**
 * @typedef {object} PreImported
 * @property {HeldModules} held
 * @property {Map<string, string>} left the names of those that are in memory for nothing, with the reason
 * @typedef {{ refused: { name: string, reason: string } }} Refused it did something to this process that cannot be taken back
 */

/**
 * Runs the packages that a pool names and takes them out of sight.
 * @param {string[]} names `express`, `express@5`, `@scope/name`
 * @param {{ poolFolder: string, codeFolder: string }} folders `poolFolder` has the pool's `node_modules`; `codeFolder` is where a function's code will be
 * @returns {Promise<PreImported | Refused>}
 * @throws Error one of them is not there
 */
export async function preImport(names, { poolFolder, codeFolder }) {
  const variables = new Set(Object.keys(process.env));
  const surroundings = new Surroundings(['_cache', '_pathCache'].map((name) => Reflect.get(Module, name)));
  surroundings.addBuiltin('module', Module);
  const recording = new Recording({ poolFolder, codeFolder, surroundings });
  /** @type {Map<string, string>} */
  const begins = new Map();
  const traces = watchTraces(surroundings);
  recording.start();
  surroundings.settle();
  try {
    for (const name of names) {
      const plain = find(name, recording);
      try {
        begins.set(name, recording.import(plain));
      } catch (error) {
        return {
          refused: { name, reason: `its import fails: ${error instanceof Error ? error.message : String(error)}` },
        };
      }
      const trace = (await traces.since()) ?? recording.changedEnvironment();
      if (trace !== undefined) return { refused: { name, reason: trace } };
    }
  } finally {
    traces.stop();
    recording.stop();
  }
  const { modules } = recording;
  for (const each of modules.values()) {
    if (each.env.isCopied) each.problem ??= 'copies the environment';
    if (!each.env.isListed) each.text = '';
  }
  const digests = digestsOf(modules, poolFolder);
  const held = new HeldModules({ codeFolder, modules, digests, surroundings, variables });
  return { held, left: withProblems(begins, modules) };
}

/** @param {string} name @param {Recording} recording @returns {string} without the version, which is what was found */
function find(name, recording) {
  const { name: plain = name, version } = NAME.exec(name)?.groups ?? {};
  let file;
  try {
    file = recording.find(plain);
  } catch (error) {
    throw new Error(`WARMPOOL_PRE_IMPORT names "${name}", which cannot be found: ${String(error)}`, { cause: error });
  }
  if (version === undefined) return plain;
  const folder = file.slice(0, file.lastIndexOf(`/node_modules/${plain}/`)) + `/node_modules/${plain}`;
  /** @type {{ version?: string }} */
  const { version: found = 'none' } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  if (found === version || found.startsWith(`${version}.`)) return plain;
  throw new Error(`WARMPOOL_PRE_IMPORT names "${name}", but there is ${plain} ${found}`);
}

/** What an import leaves in the process. @param {Surroundings} surroundings */
function watchTraces(surroundings) {
  /** @type {Set<string>} */
  const resources = new Set();
  let isOwn = false;
  const hook = createHook({
    init: (_, type) => {
      if (!isOwn && !HARMLESS_RESOURCES.has(type)) resources.add(type);
    },
  }).enable();
  const listened = () =>
    process
      .eventNames()
      .map((name) => `${String(name)} ${process.listenerCount(name)}`)
      .join();
  /** @type {string[]} */
  const failures = [];
  const onFailure = (/** @type {unknown} */ error) => void failures.push(sentence(error));
  process.on('uncaughtException', onFailure);
  let before = listened();
  const folder = process.cwd();
  return {
    stop: () => {
      hook.disable();
      process.off('uncaughtException', onFailure);
    },
    /** @returns {Promise<string | undefined>} in words, what there is more than the last time */
    async since() {
      isOwn = true;
      const turned = turn();
      isOwn = false;
      // what was left to be done at once, is done
      await turned;
      const [resource] = resources;
      resources.clear();
      const changed = surroundings.changed();
      surroundings.settle();
      const isListening = listened() !== before;
      before = listened();
      const [failure] = failures;
      if (failure !== undefined) return `its import fails: ${failure}`;
      if (process.cwd() !== folder) return 'its import changes the working folder';
      if (resource !== undefined) return `its import starts something (${resource})`;
      if (changed !== undefined && !changed.startsWith('process._events')) return `its import changes ${changed}`;
      return isListening ? 'its import listens to events of the process' : undefined;
    },
  };
}

/** Counted, whatever list an image may have: one that is older than its files would give functions what they do not have. @param {Map<string, HeldModule>} modules @param {string} poolFolder */
function digestsOf(modules, poolFolder) {
  /** @type {Map<string, string>} */
  const digests = new Map();
  const places = new Set([...modules.values()].flatMap((each) => [...each.places]));
  for (const place of places) {
    const digest = digestOf(path.join(poolFolder, place));
    if (digest !== null) digests.set(place, digest);
  }
  return digests;
}

/** @param {Map<string, string>} begins files by name @param {Map<string, HeldModule>} modules */
function withProblems(begins, modules) {
  /** @type {Map<string, string>} */
  const left = new Map();
  for (const [name, begin] of begins) {
    const files = new Set([begin]);
    for (const file of files) {
      const held = modules.get(file);
      const problem = held === undefined ? 'is not among what was imported' : held.problem;
      if (problem !== undefined) left.set(name, `${placeOf(file) ?? file} ${problem}`);
      for (const next of held?.requires ?? []) files.add(next);
    }
  }
  return left;
}

/** @param {unknown} error */
function sentence(error) {
  return error instanceof Error ? error.message : String(error);
}
