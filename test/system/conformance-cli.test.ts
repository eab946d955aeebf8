import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmodSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Instance } from '../../conformance/instance.ts';
import { MODEL_FUNCTIONS, ModelTarget } from '../support/model-runtime/model-target.ts';

const repository = path.join(import.meta.dirname, '../..');
const kit = path.join(repository, 'conformance/main.ts');
const model = path.join(repository, 'test/support/model-runtime/main.ts');

interface Ran {
  exitCode: number;
  stdout: string;
  stderr: string;
}

function conformance(...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { cwd: repository, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [kit, ...args], options, (error, stdout, stderr) => {
      resolve({ exitCode: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

const RULES = ['LIFE-3', 'LOAD-5', 'STATUS-1', 'INVOKE-21'];
const only = RULES.flatMap((rule) => ['--only', rule]);
const functions = ['--functions', MODEL_FUNCTIONS];

describe('npm run conformance', () => {
  let folder: string;
  const started: Instance[] = [];
  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'wp-kit-'));
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
    rmSync(folder, { recursive: true, force: true });
  });
  async function socketOfModel(): Promise<string> {
    const instance = await new ModelTarget().start();
    started.push(instance);
    return (instance.facts.control as { socketPath: string }).socketPath;
  }

  it('ends with 0 when every case passes', async () => {
    const ran = await conformance('--command', `${process.execPath} ${model}`, ...functions, ...only);
    expect(ran).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('4 passed, 0 failed, 0 not run') as string,
    });
  });

  it('ends with 1 and says which rule was broken, where it stands, what was sent, expected and came', async () => {
    const command = `${process.execPath} ${model} --fault INVOKE-21`;
    const { exitCode, stdout } = await conformance('--command', command, ...functions, ...only);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('FAILED INVOKE-21  sends status, headers and body of a result that has a statusCode');
    expect(stdout).toContain('docs/runtime-contract.md#invoke-21');
    expect(stdout).toMatch(/expected {2}\{"status":418,"headers":\{"x-own":"yes"/);
    expect(stdout).toMatch(/came {6}\{"status":418,"headers":\{\}\}/);
    expect(stdout).toMatch(/> POST \/v1\/invoke \{"act":"respond","reply":\{"statusCode":418/);
    expect(stdout).toContain('3 passed, 1 failed, 0 not run');
  });

  it('gives the same as one JSON object', async () => {
    const command = `${process.execPath} ${model} --fault LOAD-5`;
    const { exitCode, stdout } = await conformance('--command', command, ...functions, ...only, '--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      contract: '1.0',
      passed: 3,
      failed: 1,
      cases: [
        { rule: 'LIFE-3', outcome: 'passed' },
        { rule: 'STATUS-1', outcome: 'passed' },
        { rule: 'LOAD-5', outcome: 'failed', link: 'docs/runtime-contract.md#load-5', looksAt: 'the answer' },
        { rule: 'INVOKE-21', outcome: 'passed' },
      ],
    });
  });

  it('runs on a process that is there already what can be run on it, and says what cannot', async () => {
    const { exitCode, stdout } = await conformance('--socket', await socketOfModel(), ...functions, ...only);
    expect({ exitCode, stdout }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('3 passed, 0 failed') as string,
    });
    expect(stdout).toContain('not run: LIFE-3: needs --command, --runtime or --image');
  });

  it('uses one standby process after another when several are named', async () => {
    const sockets = [await socketOfModel(), await socketOfModel()];
    const args = sockets.flatMap((socket) => ['--socket', socket]);
    const { stdout } = await conformance(
      ...args,
      ...functions,
      '--only',
      'LOAD-8',
      '--only',
      'LOAD-3',
      '--only',
      'LOAD-4',
    );
    expect(stdout).toContain('2 passed, 0 failed, 1 not run');
    expect(stdout).toContain('needs another standby process');
  });

  it('starts a container for each process of an image, with settings, folder and functions', async () => {
    const tool = path.join(folder, 'container-tool');
    // stands for docker: takes the settings out of its arguments and runs the model in their place
    const script = `#!/bin/sh
while [ $# -gt 1 ]; do
  case "$1" in --env) export "$2"; shift 2 ;; --volume) shift 2 ;; *) shift ;; esac
done
[ "$1" = registry.example/model:1 ] || exit 9
exec ${process.execPath} ${model}
`;
    writeFileSync(tool, script);
    chmodSync(tool, 0o755);
    const args = ['--image', 'registry.example/model:1', '--container-tool', tool, ...functions, ...only];
    const { exitCode, stdout } = await conformance(...args);
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('4 passed') as string });
  });

  it.each([
    [[], /name one target/],
    [['--socket', '/tmp/a', '--image', 'b'], /name one target/],
    [['--runtime', '/no/such/folder'], /no\/such\/folder/],
    [['--command', 'false', ...functions], /ended before it was standby/],
    [['--command', 'x', ...functions, '--only', 'LOAD-99'], /LOAD-99: there is no such rule/],
    [['--command', 'x'], /--functions is needed/],
  ])('ends with 2 and a sentence for %j', async (args, sentence) => {
    const { exitCode, stderr } = await conformance(...args);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(sentence);
    expect(stderr).toContain('usage: npm run conformance');
  });
});
