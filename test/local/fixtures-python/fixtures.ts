import { readFileSync } from 'node:fs';
import type { Fixture, RuntimeFixtures } from '../../contract/runtime-agent/fixtures.ts';

const source = (name: string): string => readFileSync(new URL(`functions/${name}`, import.meta.url), 'utf8');
const handlerOf = (code: string): Fixture => ({ handler: 'index.handler', files: { 'index.py': code } });
const appOf = (code: string): Fixture => ({ handler: 'server.py', files: { 'server.py': code } });

const answersOk = 'def handler(event, context):\n    return {"ok": True}\n';

/** The functions of the contract suite, in Python. */
export const pythonFixtures: RuntimeFixtures = {
  acts: { handler: 'acts.run', files: { 'acts.py': source('acts.py') } },
  throwsOnImport: handlerOf('raise RuntimeError("no database today")\n'),
  syntaxError: handlerOf('def handler(event, context:\n    return {}\n'),
  exitsOnImport: handlerOf('import sys\nsys.exit(3)\n'),
  spinsOnImport: handlerOf('while True:\n    pass\n'),
  waitsOnImport: handlerOf('import threading\nthreading.Event().wait()\n'),
  slowImport: handlerOf(`import time\ntime.sleep(0.3)\n${answersOk}`),
  handlerMissing: handlerOf('def other(event, context):\n    return {}\n'),
  handlerNotFunction: handlerOf('handler = "not a function"\n'),
  moduleMissing: { handler: 'missing.handler', files: { 'index.py': answersOk } },
  httpApp: appOf(source('http_app.py')),
  httpNeverListens: appOf('import threading\nthreading.Event().wait()\n'),
  httpWrongPort: appOf(source('http_wrong_port.py')),
  httpThrows: appOf('raise RuntimeError("no database today")\n'),
};

/** A handler of `ways.py`. */
export const aWay = (name: string): Fixture => ({ handler: `ways.${name}`, files: { 'ways.py': source('ways.py') } });
/** An app object of `wsgi_app.py` or `asgi_app.py`, named as a load names it. */
export const appObject = (handler: string): Fixture => {
  const file = `${handler.startsWith('asgi') ? 'asgi' : 'wsgi'}_app.py`;
  return { handler, files: { [file]: source(file) } };
};
export { answersOk };
