import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { CodeServer } from './code-server.ts';

const access = inject('cluster');
const own = access?.own;
const REPOSITORY = join(import.meta.dirname, '../..');
const PAGE = join(REPOSITORY, 'docs/first-claim.md');
const EXAMPLE = join(REPOSITORY, 'examples/functions/node-hello/index.js');
const run = promisify(execFile);

/** First of all tests that need the product on the cluster: it installs it as its page says, and leaves it there. */
describe.skipIf(own === undefined)('docs/first-claim.md', () => {
  let codeServer: CodeServer;
  let tools: string;

  beforeAll(async () => {
    if (access === undefined || own === undefined) return;
    codeServer = await CodeServer.listen(own.network.hostIp);
    tools = await mkdtemp(join(tmpdir(), 'warmpool-tools-'));
    await symlink(access.kubectl, join(tools, 'kubectl'));
  });
  afterAll(async () => {
    if (own === undefined) return;
    await codeServer[Symbol.asyncDispose]();
    await rm(tools, { recursive: true });
  });

  test('leads from nothing to an instance that answers, word for word', async () => {
    const page = await readFile(PAGE, 'utf8');
    const script = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block).join('\n');
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: REPOSITORY,
      env: {
        PATH: `${tools}:${process.env['PATH']}`,
        HOME: tools,
        KUBECONFIG: access?.kubeconfig,
        CODE_URL: codeServer.add('index.js', await readFile(EXAMPLE, 'utf8')).url,
      },
      timeout: 230_000,
    });
    process.stdout.write(`${stdout}\n`);
    expect(stdout).toContain('"state":"ready"');
    expect(stdout).toContain('Hello, Ada');
  });
});
