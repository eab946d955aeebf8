/**
 * Notes which variables are read, and by whom. A module that lists the names is shown one that nobody else has: it must not ask for that
 * one's value, or it copies the whole environment.
 */

const NOBODYS = 'WARMPOOL_NOBODYS_NAME';

/**
 * @typedef {object} EnvironmentReads of one module
 * @property {Map<string, string | undefined>} values
 * @property {boolean} isListed the names were asked for
 * @property {boolean} isCopied the values of names that the module cannot know were asked for
 * @property {boolean} isWritten
 */

/** @returns {EnvironmentReads} */
export function noReads() {
  return { values: new Map(), isListed: false, isCopied: false, isWritten: false };
}

/**
 * Puts a recorder in the place of `process.env`.
 * @param {() => EnvironmentReads | undefined} reader of the module that is running
 * @returns {() => void} puts the environment back; a recorder that a package has kept is the environment from then on
 */
export function recordEnvironment(reader) {
  const env = process.env;
  let isRecording = true;
  const running = () => (isRecording ? reader() : undefined);
  /** @param {string | symbol} name */
  const note = (name) => {
    const reads = running();
    if (reads === undefined || typeof name !== 'string') return;
    if (name === NOBODYS) reads.isCopied = true;
    else if (!reads.values.has(name)) reads.values.set(name, env[name]);
  };
  /** To make it what it is already depends on what it is. @param {string | symbol} name @param {unknown} value */
  const write = (name, value) => {
    note(name);
    const reads = running();
    if (reads !== undefined && Reflect.get(env, name) !== value) reads.isWritten = true;
  };
  process.env = new Proxy(env, {
    get: (_, name) => {
      note(name);
      return Reflect.get(env, name);
    },
    has: (_, name) => {
      note(name);
      return Reflect.has(env, name);
    },
    ownKeys: () => {
      const reads = running();
      if (reads === undefined) return Reflect.ownKeys(env);
      reads.isListed = true;
      return [...Reflect.ownKeys(env), NOBODYS];
    },
    // asked for each name after they were listed
    getOwnPropertyDescriptor: (_, name) => {
      if (running()?.isListed === false) note(name);
      if (name === NOBODYS) return { value: '', writable: true, enumerable: true, configurable: true };
      return Reflect.getOwnPropertyDescriptor(env, name);
    },
    set: (_, name, value) => {
      write(name, value);
      return Reflect.set(env, name, value);
    },
    deleteProperty: (_, name) => {
      write(name, undefined);
      return Reflect.deleteProperty(env, name);
    },
    defineProperty: (_, name, descriptor) => {
      write(name, descriptor.value);
      return Reflect.defineProperty(env, name, descriptor);
    },
  });
  return () => {
    isRecording = false;
    process.env = env;
  };
}

/**
 * Whether a text that lists the names of the environment could be looking for this one: it has the name, or its first word.
 * `/^debug_/i` looks for `DEBUG_COLORS`.
 * @param {string} text @param {string} name
 */
export function namesVariable(text, name) {
  const [, word = name] = /^(_*[^_]+_)./.exec(name) ?? [];
  const literal = word.replace(/\W/g, '\\$&');
  return new RegExp(`(?<![A-Za-z0-9])${literal}${word === name ? '(?![A-Za-z0-9])' : ''}`, 'i').test(text);
}
