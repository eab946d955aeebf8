import { fileURLToPath } from 'node:url';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { nodejsFixtures } from '../contract/runtime-agent/nodejs-fixtures.ts';
import { runtimeContract } from '../contract/runtime-agent/suite.ts';

const folder = fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url));

runtimeContract(await describeRuntime(folder), nodejsFixtures);
