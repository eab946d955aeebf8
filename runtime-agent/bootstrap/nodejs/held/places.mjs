/** Places of packages, as paths below the folder of the code: `node_modules/express`, `node_modules/@a/b/node_modules/c`. */

const MODULES = 'node_modules';
const PLACE = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/;
const NAME = /^(?:@[^/]+\/)?[^/]+/;
/** What Node tries for a file without one. */
const ENDINGS = ['', '.js', '.json', '.node'];

/** The innermost package that a file is in. @param {string} file @returns {string | undefined} */
export function placeOf(file) {
  return PLACE.exec(file)?.[0];
}

/**
 * Where a `require` of a package looks before it comes to `found`, or everywhere.
 * @param {string} file that asks @param {string} request @param {string} [found] a place
 * @returns {string[]}
 */
export function placesBefore(file, request, found) {
  const name = NAME.exec(request)?.[0];
  if (name === undefined || /^[./#]/.test(request)) return [];
  /** @type {string[]} */
  const places = [];
  const folders = file.split('/').slice(0, -1);
  for (let length = folders.length; length >= 0; length--) {
    if (folders[length - 1] === MODULES) continue;
    const folder = [...folders.slice(0, length), MODULES].join('/');
    if (`${folder}/${name}` === found) break;
    places.push(...ENDINGS.map((ending) => `${folder}/${name}${ending}`));
  }
  return places;
}
