import { fileURLToPath } from 'node:url';
import path from 'node:path';

const EXAMPLES = fileURLToPath(new URL('../../examples/functions', import.meta.url));
const OWN = fileURLToPath(new URL('functions', import.meta.url));

export const RUNTIME_NAMES = ['nodejs', 'python', 'java'] as const;
export const EXAMPLE_NAMES = [
  'trivial',
  'web-framework',
  'aws-sdk',
  'numpy',
  'large-tree',
  'jackson',
  'spring',
] as const;
export type RuntimeName = (typeof RUNTIME_NAMES)[number];
export type ExampleName = (typeof EXAMPLE_NAMES)[number];

export interface LoadExample {
  runtime: RuntimeName;
  name: ExampleName;
  /** With a `function.yaml` and a lockfile. */
  folder: string;
  /** The packages of it that a pool could hold in memory. */
  packages: readonly string[];
}

const example = (runtime: RuntimeName, name: ExampleName, folder: string, packages: string[] = []): LoadExample => ({
  ...{ runtime, name, folder, packages },
});

export const LOAD_EXAMPLES: readonly LoadExample[] = [
  example('nodejs', 'trivial', path.join(EXAMPLES, 'node-hello')),
  example('nodejs', 'web-framework', path.join(EXAMPLES, 'express-app'), ['express']),
  example('nodejs', 'aws-sdk', path.join(OWN, 'node-aws-sdk'), ['@aws-sdk/client-s3']),
  example('nodejs', 'large-tree', path.join(OWN, 'node-large-tree'), ['date-fns']),
  example('python', 'trivial', path.join(EXAMPLES, 'python-hello')),
  example('python', 'web-framework', path.join(EXAMPLES, 'python-wsgi'), ['flask']),
  example('python', 'aws-sdk', path.join(OWN, 'python-boto3'), ['boto3']),
  example('python', 'numpy', path.join(OWN, 'python-numpy'), ['numpy']),
  example('java', 'trivial', path.join(EXAMPLES, 'java-hello')),
  example('java', 'jackson', path.join(EXAMPLES, 'java-jackson')),
  example('java', 'aws-sdk', path.join(OWN, 'java-aws-sdk')),
  example('java', 'spring', path.join(OWN, 'java-spring')),
];
