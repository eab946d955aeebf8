import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import {
  envSchema,
  functionKindSchema,
  functionSchema,
  handlerSchema,
  runtimeSchema,
} from '@warmpool/protocol/fields.ts';
import { LocalError, describeError } from '../errors.ts';
import { schemaProblems } from '../schema-problems.ts';
import { describeSourceProblem, parseSource } from '../yaml-source.ts';

/** `function.yaml`: what a claim for an example says each time, and one request that shows that the instance works. */
export const functionFileSchema = z.strictObject({
  name: functionSchema.shape.name,
  description: z.string().min(1),
  runtime: runtimeSchema,
  kind: functionKindSchema,
  handler: handlerSchema,
  format: z.enum(['tar.gz', 'tar.zst']).default('tar.zst'),
  env: envSchema.default({}),
  invoke: z.strictObject({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('POST'),
    path: z.string().startsWith('/', 'must start with "/"').default('/'),
    /** Sent as JSON. */
    body: z.json().optional(),
    expect: z.strictObject({
      status: z.int().min(100).max(599).default(200),
      /** Text that the answer's body must hold. */
      contains: z.string().default(''),
    }),
  }),
});
export type FunctionFile = z.output<typeof functionFileSchema>;

export async function loadFunctionFile(folder: string): Promise<FunctionFile> {
  const file = path.join(folder, 'function.yaml');
  const source = parseSource(file, await readText(file));
  const [document, ...more] = source.documents;
  const problems = [...source.problems, ...(document ? schemaProblems(file, document, functionFileSchema) : [])];
  if (problems.length > 0) invalid(problems.map(describeSourceProblem).join('\n  '));
  if (document === undefined || more.length > 0) {
    return invalid(`${file} must hold exactly one YAML document; it holds ${source.documents.length}`);
  }
  return functionFileSchema.parse(document.value);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    return invalid(`${file} cannot be read: ${describeError(error)}`);
  }
}

function invalid(what: string): never {
  throw new LocalError('FunctionFileInvalid', `A function file is wrong:\n  ${what}`);
}
