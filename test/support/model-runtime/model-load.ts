import { statSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { loadRequestSchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts';
import { Refusal } from './model-answers.ts';

type Breaks = (rule: string) => boolean;

/** The body of a load, or 400 with every wrong field. */
export function checkedLoad(body: unknown, breaks: Breaks): LoadRequest {
  const parsed = loadRequestSchema.safeParse(body);
  if (parsed.success) return parsed.data;
  let details = fieldProblems(parsed.error).map(({ field, message }) => {
    const badName = /^env$/.test(field) && message.startsWith('this name') ? 'env.1A' : field;
    return { field: badName, message };
  });
  if (breaks('LOAD-8')) details = details.filter(({ field }) => field !== 'function.tenant');
  if (breaks('LOAD-9')) details = details.slice(0, 1);
  if (breaks('LOAD-10')) details = details.filter(({ message }) => message !== 'is not a known field');
  if (details.length === 0) return body as LoadRequest;
  const words = details.map(({ field, message }) => `${field}: ${message}`).join('; ');
  throw new Refusal(400, 'BadRequest', `the load is wrong: ${words}`, { details });
}

export function checkFolder(request: LoadRequest, breaks: Breaks): void {
  if (statSync(request.code.path, { throwIfNoEntry: false })?.isDirectory()) return;
  const details = breaks('LOAD-16') ? [] : [{ field: 'code.path', message: 'is not a folder' }];
  throw new Refusal(400, 'BadRequest', `code.path: ${request.code.path} is not a folder`, { details });
}

/** Imports a function that is built in: waits as long as it takes, and throws what its code does. */
export async function importFunction(name: string, request: LoadRequest, breaks: Breaks): Promise<void> {
  const { initTimeoutMs } = request.limits;
  const rightMs = initTimeoutMs < 250 && breaks('CODE-9') ? 10_000 : initTimeoutMs;
  const isSlow = name === 'slowImport';
  const forever = name === 'waitsOnImport' || name === 'spinsOnImport';
  if (forever || (isSlow && rightMs < 300)) {
    await sleep(rightMs);
    const limit = breaks('CODE-6') && name === 'waitsOnImport' ? 'its time' : `${initTimeoutMs} ms`;
    throw new Refusal(504, 'InitTimeout', `the module was not imported within ${limit}`, { phase: 'import' });
  }
  await sleep(isSlow ? 300 : 15);
  const userError = (message: string, facts: object = {}): Refusal =>
    new Refusal(422, 'UserCodeError', message, { phase: 'import', ...facts });
  const notFound = (message: string): Refusal => new Refusal(422, 'HandlerNotFound', message, { phase: 'handler' });
  switch (name) {
    case 'throwsOnImport': {
      const frames = breaks('CODE-2') ? 'code/index:1\n at bootstrap/agent' : 'code/index:1';
      const facts = { stack: `Error\n at ${frames}`, ...(breaks('CODE-1') && { phase: 'handler' }) };
      throw userError('Error: no database today', facts);
    }
    case 'syntaxError':
      throw userError(`does not parse${breaks('CODE-3') ? '' : ': index:1'}`);
    case 'exitsOnImport':
      throw userError(`the module called ${breaks('CODE-4') ? 'quit' : 'exit(3)'}`);
    case 'exitsWithZeroOnImport':
      throw userError(`the module called ${breaks('CODE-5') ? 'quit' : 'exit(0)'}`);
    case 'handlerMissing':
      throw notFound(`${request.handler} is not there${breaks('CODE-10') ? '' : '; there is: other'}`);
    case 'handlerNotFunction':
      throw notFound(breaks('CODE-11') ? 'the handler is wrong' : 'the handler is not a function');
    case 'moduleMissing':
      throw notFound(breaks('CODE-12') ? 'no such module' : `no module for ${request.handler}`);
    default:
  }
}

export interface ModelApp {
  server: http.Server | undefined;
}

/** Starts an app that is built in. */
export async function startApp(
  name: string,
  request: LoadRequest,
  world: { port: number; breaks: Breaks; print: (line: string) => void; exit: () => void },
): Promise<ModelApp> {
  const { breaks, port } = world;
  if (name === 'httpThrows') {
    const phase = breaks('APP-7') ? 'listen' : 'import';
    throw new Refusal(422, 'UserCodeError', 'Error: no database today', { phase });
  }
  if (name === 'httpNeverListens') {
    await sleep(request.limits.initTimeoutMs);
    const phase = breaks('APP-5') ? 'import' : 'listen';
    const words = `the app did not listen on ${port} within ${request.limits.initTimeoutMs} ms`;
    throw new Refusal(504, 'InitTimeout', words, { phase });
  }
  if (name === 'httpWrongPort') {
    await sleep(request.limits.initTimeoutMs);
    const where = breaks('APP-6') ? 'elsewhere' : '127.0.0.1:9999';
    throw new Refusal(422, 'UserCodeError', `the app listens on ${where}, not on 127.0.0.1:${port}`, {
      phase: 'listen',
    });
  }
  if (name !== 'httpApp') {
    const what = breaks('APP-8') ? 'the file' : request.handler;
    throw new Refusal(422, 'HandlerNotFound', `${what} is not there`, { phase: 'import' });
  }
  return { server: await listening(app(world), port) };
}

function app({
  breaks,
  print,
  exit,
}: {
  breaks: Breaks;
  print: (line: string) => void;
  exit: () => void;
}): http.Server {
  return http.createServer((request, response) => {
    const url = request.url ?? '';
    if (url === '/exit') return exit();
    if (url === '/stream') return void stream(response, breaks('APP-10'));
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      print(`served ${url}`);
      const shown = breaks('APP-2') ? url.split('?')[0] : url;
      response.end(JSON.stringify({ method: request.method, url: shown, body }));
    });
  });
}

async function stream(response: http.ServerResponse, isBuffered: boolean): Promise<void> {
  if (isBuffered) return void response.end('one two three');
  for (const piece of ['one ', 'two ']) {
    response.write(piece);
    await sleep(150);
  }
  response.end('three');
}

export function listening(server: http.Server, port: number): Promise<http.Server> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      void (server.address() as AddressInfo);
      resolve(server);
    });
  });
}
