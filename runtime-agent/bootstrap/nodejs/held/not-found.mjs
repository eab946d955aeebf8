/** The error of a module that is not found, with the names that a function's own packages will have. */

/** @typedef {Error & { requireStack: string[] }} NotFound */

/** @param {unknown} error @returns {error is NotFound} */
export function isNotFound(error) {
  return error instanceof Error && 'requireStack' in error;
}

/** @param {NodeModule} asker @param {(file: string) => boolean} isPackages @returns {string[]} it and the files that lead to it, as far as they are packages' */
export function leadingTo(asker, isPackages) {
  const files = [];
  /** @type {NodeModule | null | undefined} */
  let module = asker;
  for (; module && isPackages(module.filename); module = module.parent) files.push(module.filename);
  return files;
}

/**
 * Node itself must not be asked with the function's names: it would remember that there is no such package.
 * @param {string[]} files by the function's names @param {NotFound} error that names the pool's
 */
export function nameFiles(files, error) {
  const { message, stack } = error;
  error.requireStack = files;
  error.message = `${message.split('\n', 1)[0]}\nRequire stack:\n- ${files.join('\n- ')}`;
  error.stack = stack?.replace(message, () => error.message) ?? '';
}
