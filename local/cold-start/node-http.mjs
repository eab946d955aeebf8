// What a platform without standby pods runs: start Node, import the app, let it listen on $PORT.
import { pathToFileURL } from 'node:url';
const [entry] = process.argv.slice(2);
const startedMs = performance.now();
await import(pathToFileURL(entry).href);
process.stdout.write(`import ${performance.now() - startedMs}\n`);
