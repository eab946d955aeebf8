import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { WarmPool } from '@warmpool/operator/core/resources.ts';
import { namespaceSchema, poolNameSchema } from '@warmpool/protocol/fields.ts';
import { isRolloutStuck, ROLLOUT_MOVES, strangeSidecar, warmPoolManifestSchema } from '@warmpool/protocol/warm-pool.ts';
import { z } from 'zod';
import { LocalError, describeError } from './errors.ts';
import { schemaProblems } from './schema-problems.ts';
import { describeSourceProblem, fieldName, parseSource } from './yaml-source.ts';
import type { FieldPath, SourceDocument, SourceProblem } from './yaml-source.ts';

const FILE_LIMIT_BYTES = 1024 * 1024;

/** The manifest of the protocol leaves metadata open, as Kubernetes has more of it than a person should write. */
const poolFileSchema = warmPoolManifestSchema.extend({
  metadata: z.strictObject({
    name: poolNameSchema,
    namespace: namespaceSchema.default('default'),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
});

export class PoolFilesError extends LocalError {
  readonly problems: readonly SourceProblem[];

  constructor(problems: readonly SourceProblem[]) {
    const subject = problems.length === 1 ? 'A pool file is wrong' : `The pool files have ${problems.length} problems`;
    super(
      'PoolFilesInvalid',
      [`${subject}:`, ...problems.map((each) => `  ${describeSourceProblem(each)}`)].join('\n'),
    );
    this.problems = problems;
  }
}

/** Every WarmPool in the YAML files of `folder`, defaults filled in. Throws one error that lists all that is wrong in all files. */
export async function loadPoolFiles(folder: string): Promise<WarmPool[]> {
  const problems: SourceProblem[] = [];
  const pools: WarmPool[] = [];
  const writtenIn = new Map<string, string>();
  for (const file of await poolFileNames(folder)) {
    const source = parseSource(file, await readPoolFile(file));
    problems.push(...source.problems);
    for (const document of source.documents) {
      const found = poolProblems(file, document);
      problems.push(...found);
      if (found.length > 0) continue;
      const pool = poolOf(document);
      const name = `${pool.metadata.namespace}/${pool.metadata.name}`;
      const { line, column } = document.positionOf(['metadata', 'name']);
      const first = writtenIn.get(name);
      if (first !== undefined) {
        const message = `the pool ${name} is already written in ${first}; give one of them another name`;
        problems.push({ file, line, column, field: 'metadata.name', message });
      } else {
        writtenIn.set(name, `${file}:${line}`);
        pools.push(pool);
      }
    }
  }
  if (problems.length > 0) throw new PoolFilesError(problems);
  return pools;
}

async function poolFileNames(folder: string): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name));
    return names.sort().map((name) => path.join(folder, name));
  } catch (error) {
    const message = `The folder of pool files ${folder} cannot be read: ${describeError(error)}`;
    throw new LocalError('PoolFilesInvalid', message, { cause: error });
  }
}

async function readPoolFile(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > FILE_LIMIT_BYTES) throw new Error(`it has ${size} bytes; at most ${FILE_LIMIT_BYTES} are allowed`);
    return await readFile(file, 'utf8');
  } catch (error) {
    const message = `The pool file ${file} cannot be read: ${describeError(error)}`;
    throw new LocalError('PoolFilesInvalid', message, { cause: error });
  }
}

function poolProblems(file: string, document: SourceDocument): SourceProblem[] {
  const problems = schemaProblems(file, document, poolFileSchema);
  const parsed = poolFileSchema.safeParse(document.value);
  // the schema's CEL rules run in the apiserver only; these are those that a new object can break
  const report = (path: FieldPath, message: string): void => {
    problems.push({ file, ...document.positionOf(path), field: fieldName(path), message });
  };
  const strange = parsed.data && strangeSidecar(parsed.data.spec);
  if (strange !== undefined)
    report(['spec', 'standby', 'sidecars'], `${strange} must be a container of the template, other than the first`);
  if (parsed.data && isRolloutStuck(parsed.data.spec)) report(['spec', 'rollout'], ROLLOUT_MOVES.message);
  return problems;
}

function poolOf(document: SourceDocument): WarmPool {
  const { apiVersion, kind, metadata, spec } = poolFileSchema.parse(document.value);
  // parsing drops what the schema does not name; of a pod template that is most of it
  const { template } = (document.value as { spec: Pick<WarmPool['spec'], 'template'> }).spec;
  const { name, namespace, labels, annotations } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, ...(labels && { labels }), ...(annotations && { annotations }) },
    spec: { ...spec, template },
  };
}
