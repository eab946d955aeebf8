import { readFileSync } from 'node:fs';
import type { Fixture } from '../../contract/runtime-agent/fixtures.ts';

const source = (name: string): string => readFileSync(new URL(`functions/${name}`, import.meta.url), 'utf8');

/** A handler of `ways.py`. */
export const aWay = (name: string): Fixture => ({ handler: `ways.${name}`, files: { 'ways.py': source('ways.py') } });
/** An app object of `wsgi_app.py` or `asgi_app.py`, named as a load names it. */
export const appObject = (handler: string): Fixture => {
  const file = `${handler.startsWith('asgi') ? 'asgi' : 'wsgi'}_app.py`;
  return { handler, files: { [file]: source(file) } };
};

export const answersOk = 'def handler(event, context):\n    return {"ok": True}\n';
