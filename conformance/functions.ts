import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

/**
 * The functions that the kit loads into a runtime. Each language brings the same ones, in a folder with a `functions.json`;
 * functions/README.md says what each has to do.
 */
export const FUNCTION_NAMES = [
  'acts',
  'throwsOnImport',
  'syntaxError',
  'exitsOnImport',
  'exitsWithZeroOnImport',
  'spinsOnImport',
  'waitsOnImport',
  'slowImport',
  'handlerMissing',
  'handlerNotFunction',
  'moduleMissing',
  'httpApp',
  'httpNeverListens',
  'httpWrongPort',
  'httpThrows',
] as const;
export type FunctionName = (typeof FUNCTION_NAMES)[number];

/** What a runtime need not offer. A case of it is not run where it is not. */
const offerSchema = z.enum(['streaming', 'concurrency']);
export type Offer = z.output<typeof offerSchema>;

const functionSetSchema = z.strictObject({
  /** As in the load's `runtime.name`. */
  runtime: z.string(),
  /** Run once in a copy of the folder before anything is loaded: for languages that compile. */
  prepare: z.array(z.string()).min(1).optional(),
  offers: z.array(offerSchema).default([]),
  /** By name: the load's `handler`, and the folder that is its code. */
  functions: z.record(z.enum(FUNCTION_NAMES), z.strictObject({ handler: z.string(), folder: z.string() })),
});
export type FunctionSet = z.output<typeof functionSetSchema>;

export const FUNCTIONS_FOLDER = path.join(import.meta.dirname, 'functions');

export function readFunctionSet(folder: string): FunctionSet {
  const file = path.join(folder, 'functions.json');
  try {
    return functionSetSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new Error(`${file} does not describe the test functions of a runtime: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A function's handler and its files by relative name, for tests that pack code themselves. */
export interface FunctionSource {
  handler: string;
  files: Record<string, string>;
}

export function readFunctions(folder: string): Record<FunctionName, FunctionSource> {
  const { functions } = readFunctionSet(folder);
  const sources = Object.entries(functions).map(([name, { handler, folder: subfolder }]) => [
    name,
    { handler, files: filesIn(path.join(folder, subfolder)) },
  ]);
  return Object.fromEntries(sources) as Record<FunctionName, FunctionSource>;
}

function filesIn(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    entries.map((entry) => {
      const file = path.join(entry.parentPath, entry.name);
      return [path.relative(folder, file), readFileSync(file, 'utf8')];
    }),
  );
}
