/**
 * The globals that the agent goes on using once user code has run: taken before it, so that code which replaces or breaks them harms
 * only itself.
 */
const before = globalThis;

/** @template {object} T @param {T} original @returns {T} */
const copyOf = (original) => before.Object.defineProperties({}, before.Object.getOwnPropertyDescriptors(original));

export const JSON = copyOf(before.JSON);
export const Math = copyOf(before.Math);
export const Atomics = copyOf(before.Atomics);
export const Reflect = copyOf(before.Reflect);
export const Object = /** @type {Pick<ObjectConstructor, keyof ObjectConstructor>} */ (copyOf(before.Object));
export const Date = { now: before.Date.now };
export const performance = { now: before.performance.now.bind(before.performance) };
export const {
  AbortController,
  Array,
  BigInt,
  Buffer,
  Error,
  Map,
  Number,
  Promise,
  Set,
  String,
  Symbol,
  TypeError,
  Uint8Array,
  URLSearchParams,
  clearInterval,
  clearTimeout,
  setImmediate,
  setInterval,
  setTimeout,
} = before;
