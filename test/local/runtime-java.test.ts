import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { runtimeContract } from '../contract/runtime-agent/suite.ts';
import { compileFixtures, contractFixtures } from './fixtures-java/fixtures.ts';

const FOLDER = fileURLToPath(new URL('../../runtime-agent/bootstrap/java', import.meta.url));
const runtime = await describeRuntime(FOLDER);
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`the Java runtime is NOT tested on this machine: ${missing}`);

if (missing === undefined) {
  // compiled once, so that no case has to wait for it
  execFileSync('sh', [`${FOLDER}/launch.sh`, 'prepare'], { stdio: 'inherit' });
  runtimeContract(runtime, contractFixtures(compileFixtures()));
}
