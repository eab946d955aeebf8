import type { RuntimeFixtures } from './fixtures.ts';

/** The functions of fixtures.ts for the Node runtime. */

const acts = `
'use strict';
const importEnv = { ...process.env };
const kindsOf = (event) => {
  if (typeof event === 'string') return 'text';
  return event instanceof Uint8Array ? 'bytes' : 'json';
};
const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); });
});
const traces = () => [
  ...Object.keys(require.cache).filter((file) => file !== __filename),
  ...Object.keys(process.env).filter((name) => /WARMPOOL|REHEARS/.test(name)),
  ...Object.getOwnPropertyNames(globalThis).filter((name) => /warmpool|rehears|pending/i.test(name)),
  ...Object.getOwnPropertySymbols(globalThis).filter((key) => key !== Symbol.toStringTag).map(String),
  ...(require.main ? ['require.main'] : []),
  ...require('node:fs').readdirSync('..').filter((name) => /rehears/i.test(name)),
  ...process.argv.slice(2),
  ...process.execArgv,
];
const actions = {
  echo: (event, context) => {
    const { requestId, deadlineUnixMs, claimId, service, http } = context;
    const facts = { requestId, deadlineUnixMs, claimId, service, http, function: context.function };
    return { event, context: { ...facts, remainingTimeMs: context.remainingTimeMs() } };
  },
  env: () => ({ ...process.env }),
  importEnv: () => importEnv,
  where: () => ({ cwd: process.cwd(), argv: process.argv }),
  hour: () => ({ hour: new Date(0).getHours() }),
  log: ({ text }) => { console.log(text); console.error('error: ' + text); },
  longLine: ({ sizeBytes }) => { process.stdout.write('x'.repeat(sizeBytes) + '\\n'); },
  throw: ({ message }) => { throw new Error(message); },
  wait: async ({ ms }, { signal }) => { await pause(ms, signal); return { waited: ms }; },
  stubborn: async ({ ms }) => { await pause(ms); return { waited: ms }; },
  spin: () => { for (;;); },
  exit: ({ exitCode }) => process.exit(exitCode),
  respond: ({ reply }) => reply,
  nothing: () => undefined,
  bytes: ({ sizeBytes }) => Buffer.alloc(sizeBytes, 7),
  traces,
};
exports.run = (event, context) => {
  if (typeof event !== 'object' || event === null || Array.isArray(event) || event instanceof Uint8Array) {
    return { type: kindsOf(event), length: event?.length ?? 0 };
  }
  return actions[event.act](event, context);
};
`;

const server = (port: string): string => `
const http = require('node:http');
http.createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => {
    console.log('served ' + request.url);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, body }));
  });
}).listen(${port}, '127.0.0.1');
`;

const handler = 'exports.handler = async () => ({ ok: true });\n';

export const nodejsFixtures: RuntimeFixtures = {
  acts: { handler: 'acts.run', files: { 'acts.js': acts } },
  throwsOnImport: {
    handler: 'index.handler',
    files: { 'index.js': `function connect() { throw new Error('no database today'); }\nconnect();\n${handler}` },
  },
  syntaxError: { handler: 'index.handler', files: { 'index.js': 'exports.handler = async () => {{;\n' } },
  exitsOnImport: { handler: 'index.handler', files: { 'index.js': `try { process.exit(3); } catch {}\n${handler}` } },
  spinsOnImport: { handler: 'index.handler', files: { 'index.js': `for (;;);\n${handler}` } },
  waitsOnImport: {
    handler: 'index.handler',
    files: { 'index.mjs': 'await new Promise(() => setInterval(() => {}, 1000));\nexport const handler = () => 1;\n' },
  },
  slowImport: {
    handler: 'index.handler',
    files: {
      'package.json': '{ "type": "module" }',
      'index.js':
        'await new Promise((resolve) => setTimeout(resolve, 300));\nexport const handler = async () => ({ ok: true });\n',
    },
  },
  handlerMissing: { handler: 'index.handler', files: { 'index.js': 'exports.other = () => 1;\n' } },
  handlerNotFunction: { handler: 'index.handler', files: { 'index.js': 'exports.handler = "not a function";\n' } },
  moduleMissing: { handler: 'src/gone.handler', files: { 'index.js': handler } },
  httpApp: {
    handler: 'server.js',
    files: { 'server.js': `if (require.main === module) {${server('process.env.PORT')}}\n` },
  },
  httpNeverListens: { handler: 'server.js', files: { 'server.js': 'setInterval(() => {}, 1000);\n' } },
  httpWrongPort: { handler: 'server.js', files: { 'server.js': server('0') } },
  httpThrows: { handler: 'server.js', files: { 'server.js': "throw new Error('no database today');\n" } },
};
