import { readFileSync } from 'node:fs';
import type { Fixture } from '../../contract/runtime-agent/fixtures.ts';

const source = readFileSync(new URL('functions/ways.py', import.meta.url), 'utf8');

/** A handler of `ways.py`. */
export const aWay = (name: string): Fixture => ({ handler: `ways.${name}`, files: { 'ways.py': source } });

export const answersOk = 'def handler(event, context):\n    return {"ok": True}\n';
