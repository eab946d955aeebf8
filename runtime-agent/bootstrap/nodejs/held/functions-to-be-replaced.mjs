/** The agent will have functions of its own in their place; a package that keeps these would go past it. */

/** @type {[name: string, holder: object, key: string][]} */
const REPLACED = [
  ['process.exit', process, 'exit'],
  ['process.reallyExit', process, 'reallyExit'],
  ['process.stdout.write', process.stdout, 'write'],
  ['process.stderr.write', process.stderr, 'write'],
];

/**
 * @param {(name: string) => void} onAsked
 * @returns {() => void} puts everything back
 */
export function watchReplaced(onAsked) {
  const restore = REPLACED.map(([name, holder, key]) => {
    const own = Object.getOwnPropertyDescriptor(holder, key);
    let value = Reflect.get(holder, key);
    const get = () => {
      onAsked(name);
      return value;
    };
    const set = (/** @type {unknown} */ next) => {
      value = next;
    };
    Object.defineProperty(holder, key, { get, set, configurable: true, enumerable: true });
    return () => {
      Reflect.deleteProperty(holder, key);
      if (own !== undefined) Object.defineProperty(holder, key, own);
    };
  });
  return () => {
    for (const each of restore) each();
  };
}
