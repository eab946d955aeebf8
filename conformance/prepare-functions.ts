import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { readFunctionSet } from './functions.ts';
import type { FunctionSet } from './functions.ts';

const PREPARE_TIMEOUT_MS = 300_000;

/** Copies the test functions to `target`, where the runtime will see them, and compiles what has to be compiled. */
export function prepareFunctions(source: string, target: string): FunctionSet {
  const functions = readFunctionSet(source);
  cpSync(source, target, { recursive: true });
  const [program, ...args] = functions.prepare ?? [];
  if (program !== undefined) execFileSync(program, args, { cwd: target, timeout: PREPARE_TIMEOUT_MS, stdio: 'pipe' });
  return functions;
}
