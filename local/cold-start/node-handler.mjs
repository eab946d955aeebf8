// What a platform without standby pods runs: start Node, import the handler, serve it.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
const [entry, exportName] = process.argv.slice(2);
const startedMs = performance.now();
const module = await import(pathToFileURL(entry).href);
process.stdout.write(`import ${performance.now() - startedMs}\n`);
const handler = module[exportName] ?? module.default[exportName];
async function answer(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const result = await handler(chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {}, {});
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(result));
}

createServer((request, response) => void answer(request, response)).listen(Number(process.env.PORT), '127.0.0.1');
