import { runInNewContext } from 'node:vm';

/** Besides those of the language. The other globals are loaded when somebody looks at them, some with a megabyte behind them. */
const GLOBALS_OF_NODE =
  'process Buffer console URL URLSearchParams Event EventTarget AbortController AbortSignal setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask';

/**
 * What a package may copy, or change, when it is imported: the properties of the globals, of the built-in modules and of their prototypes.
 * Getters are left alone: to ask them would load what is behind them.
 */
export class Surroundings {
  #functions = new Properties();
  #others = new Properties();
  /** How many properties each has, and its name. @type {Map<object, { count: number, name: string }>} */
  #holders = new Map();

  #ignored;

  /** @param {unknown[]} ignored objects that any import changes */
  constructor(ignored) {
    this.#ignored = new Set(ignored);
    const names = [...runInNewContext('Object.getOwnPropertyNames(globalThis)'), ...GLOBALS_OF_NODE.split(' ')];
    this.#watch(globalThis, 'globalThis', names);
    for (const name of names) this.#watchWithPrototype(Reflect.get(globalThis, name), name);
  }

  /** @param {string} name of a built-in module @param {unknown} exports */
  addBuiltin(name, exports) {
    this.#watchWithPrototype(exports, name);
    for (const [key, value] of valuesOf(exports)) this.#watchWithPrototype(value, `${name}.${String(key)}`);
  }

  /** From now on it is right as it is. */
  settle() {
    this.#functions.settle();
    this.#others.settle();
    for (const [holder, known] of this.#holders) known.count = Reflect.ownKeys(holder).length;
  }

  /** As {@link settle}, for one function. @param {object} holder @param {string} key */
  settleFunction(holder, key) {
    this.#functions.settle((each, name) => each === holder && name === key);
  }

  /** @returns {string | undefined} the name of the first function that is another now */
  changedFunction() {
    return this.#functions.changed();
  }

  /** @returns {string | undefined} the name of the first property that is another now, or of what has more or fewer */
  changed() {
    const changed = this.#functions.changed() ?? this.#others.changed();
    if (changed !== undefined) return changed;
    for (const [holder, { count, name }] of this.#holders) if (Reflect.ownKeys(holder).length !== count) return name;
    return undefined;
  }

  /** @param {unknown} value @param {string} name */
  #watchWithPrototype(value, name) {
    this.#watch(value, name);
    if (typeof value !== 'function') return;
    this.#watch(Object.getOwnPropertyDescriptor(value, 'prototype')?.value, `${name}.prototype`);
  }

  /** @param {unknown} holder @param {string} name @param {(string | symbol)[]} [keys] */
  #watch(holder, name, keys) {
    if (!isHolder(holder) || this.#holders.has(holder) || this.#ignored.has(holder)) return;
    this.#holders.set(holder, { count: Reflect.ownKeys(holder).length, name });
    for (const [key, value] of valuesOf(holder, keys)) {
      (typeof value === 'function' ? this.#functions : this.#others).add(holder, key, `${name}.${String(key)}`);
    }
  }
}

/** Side by side, since they are compared within a load. */
class Properties {
  /** @type {Record<string | symbol, unknown>[]} */
  #holders = [];
  /** @type {(string | symbol)[]} */
  #keys = [];
  /** @type {string[]} */
  #names = [];
  /** @type {unknown[]} */
  #values = [];

  /** @param {object} holder @param {string | symbol} key @param {string} name */
  add(holder, key, name) {
    const index = this.#holders.push(/** @type {Record<string | symbol, unknown>} */ (holder)) - 1;
    this.#keys.push(key);
    this.#names.push(name);
    this.#values.push(this.#valueAt(index));
  }

  /** @param {(holder: object, key: string | symbol) => boolean} [isMeant] */
  settle(isMeant = () => true) {
    for (const [index, holder] of this.#holders.entries()) {
      if (isMeant(holder, this.#keys[index] ?? '')) this.#values[index] = this.#valueAt(index);
    }
  }

  changed() {
    for (let index = 0; index < this.#holders.length; index++) {
      const now = this.#holders[index]?.[this.#keys[index] ?? ''];
      if (!Object.is(now, this.#values[index])) return this.#names[index];
    }
    return undefined;
  }

  /** @param {number} index */
  #valueAt(index) {
    return this.#holders[index]?.[this.#keys[index] ?? ''];
  }
}

/** @param {unknown} value @returns {value is object} */
function isHolder(value) {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

/** @param {unknown} holder @param {(string | symbol)[]} [keys] @returns {[string | symbol, unknown][]} */
function valuesOf(holder, keys) {
  if (!isHolder(holder)) return [];
  return (keys ?? Reflect.ownKeys(holder)).flatMap((key) => {
    const descriptor = Object.getOwnPropertyDescriptor(holder, key);
    return descriptor !== undefined && 'value' in descriptor ? [[key, descriptor.value]] : [];
  });
}
