/**
 * What a package may copy, or replace, when it is imported: the functions of the globals, of the built-in modules and of their prototypes.
 * Getters are left alone: to ask them would load what is behind them.
 */
export class Surroundings {
  /** @type {Record<string | symbol, unknown>[]} */
  #holders = [];
  /** @type {(string | symbol)[]} */
  #keys = [];
  /** @type {string[]} */
  #names = [];
  /** @type {unknown[]} */
  #values = [];
  /** @type {Set<unknown>} */
  #seen = new Set();

  constructor() {
    this.#watch(globalThis, 'globalThis');
    for (const [name, value] of valuesOf(globalThis)) this.#watchWithPrototype(value, String(name));
  }

  /** @param {string} name of a built-in module @param {unknown} exports */
  addBuiltin(name, exports) {
    this.#watchWithPrototype(exports, name);
    for (const [key, value] of valuesOf(exports)) this.#watchWithPrototype(value, `${name}.${String(key)}`);
  }

  /** From now on it is right as it is. */
  settle() {
    this.#values = this.#holders.map((holder, index) => holder[this.#keys[index] ?? '']);
  }

  /** As {@link settle}, for one of them. @param {object} holder @param {string} key */
  settleOne(holder, key) {
    const index = this.#holders.findIndex((each, at) => each === holder && this.#keys[at] === key);
    if (index !== -1) this.#values[index] = /** @type {Record<string, unknown>} */ (holder)[key];
  }

  /** @returns {string | undefined} the name of the first that is another now */
  changed() {
    for (let index = 0; index < this.#holders.length; index++) {
      if (this.#holders[index]?.[this.#keys[index] ?? ''] !== this.#values[index]) return this.#names[index];
    }
    return undefined;
  }

  /** @param {unknown} value @param {string} name */
  #watchWithPrototype(value, name) {
    this.#watch(value, name);
    if (typeof value !== 'function') return;
    this.#watch(Object.getOwnPropertyDescriptor(value, 'prototype')?.value, `${name}.prototype`);
  }

  /** @param {unknown} holder @param {string} name */
  #watch(holder, name) {
    if (this.#seen.has(holder)) return;
    this.#seen.add(holder);
    for (const [key, value] of valuesOf(holder)) {
      if (typeof value !== 'function') continue;
      this.#holders.push(/** @type {Record<string | symbol, unknown>} */ (holder));
      this.#keys.push(key);
      this.#names.push(`${name}.${String(key)}`);
      this.#values.push(value);
    }
  }
}

/** @param {unknown} holder @returns {[string | symbol, unknown][]} */
function valuesOf(holder) {
  if ((typeof holder !== 'object' && typeof holder !== 'function') || holder === null) return [];
  return Reflect.ownKeys(holder).flatMap((key) => {
    const descriptor = Object.getOwnPropertyDescriptor(holder, key);
    return descriptor !== undefined && 'value' in descriptor ? [[key, descriptor.value]] : [];
  });
}
