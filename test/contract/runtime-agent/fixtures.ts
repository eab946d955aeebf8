import { functionsFolderOf } from '../../../conformance/config.ts';
import { readFunctions } from '../../../conformance/functions.ts';
import type { FunctionName, FunctionSource } from '../../../conformance/functions.ts';

/** A function of the conformance kit, or one of a test's own: its handler and its files by relative name. */
export type Fixture = FunctionSource;
export type RuntimeFixtures = Record<FunctionName, Fixture>;

export const nodejsFixtures = readFunctions(functionsFolderOf('nodejs'));
export const pythonFixtures = readFunctions(functionsFolderOf('python'));
