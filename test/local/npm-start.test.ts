import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LocalProgram, poolFolder } from '../support/local-program.ts';
import { aNodePool, isJavaHere, isPythonHere } from '../support/local-world.ts';

const FUNCTIONS = fileURLToPath(new URL('../../examples/functions', import.meta.url));
const hasPython = await isPythonHere();
const hasJava = await isJavaHere();

let program: LocalProgram | undefined;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'npm-start-'));
});
afterEach(async () => {
  await program?.close();
  program = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function run(args: string[], env: Record<string, string> = {}): Promise<{ status: number | null; said: string }> {
  program = LocalProgram.start(args, env);
  const status = await program.exit();
  expect(program.leftovers()).toEqual([]);
  return { status, said: program.stdout + program.stderr };
}

describe('npm start', () => {
  it('-- --once shows pools filling, each example claimed in phases next to its cold start, and exits 0', async () => {
    const { status, said } = await run(['--once', '--port', '0']);
    expect({ status, said }).toMatchObject({ status: 0 });
    expect(said).toMatch(/nodejs +nodejs 24 +[●○]+ 4\/4 standby after \d+ ms/);
    const names = readdirSync(FUNCTIONS)
      .filter((name) => hasPython || !name.startsWith('python'))
      .filter((name) => hasJava || !name.startsWith('java'));
    for (const name of names) {
      const section = said.split(`\n  ${name}: `)[1]?.split(/\n\n/)[0] ?? '';
      expect(section).toContain('first claim: the code is fetched and unpacked');
      expect(section).toContain('second claim: the code is in the cache');
      for (const phase of [
        ...['queue', 'pick', 'write', 'fetch', 'unpack', 'mount', 'load', 'import'],
        ...['first response', 'claim to answer', 'started cold'],
      ]) {
        expect(section, `${name} shows ${phase}`).toMatch(new RegExp(`^ +${phase} .*\\d+\\.\\d\\d ms`, 'm'));
      }
      expect(section).toMatch(/\d+\.\d times as long/);
    }
  });

  it('with a pool file that does not parse exits 2 and says file and line', async () => {
    writeFileSync(path.join(folder, 'broken.yaml'), 'apiVersion: warmpool.dev/v1alpha1\nkind: [WarmPool\n');
    const { status, said } = await run(['--once', '--no-demo', '--port', '0', '--pools', folder]);
    expect(status).toBe(2);
    expect(said).toMatch(/broken\.yaml:[23]:\d+/);
    expect(said).not.toMatch(/^\s+at /m);
  });

  it('with a wrong field in a pool file exits 2 and says file, line and field', async () => {
    const lines = [
      'apiVersion: warmpool.dev/v1alpha1',
      'kind: WarmPool',
      'metadata: { name: nodejs }',
      'spec:',
      "  runtime: { name: nodejs, version: '24' }",
      '  replicas: many',
      '  template: { spec: { containers: [{ name: runtime, image: warmpool.dev/runtime-nodejs:24 }] } }',
    ];
    writeFileSync(path.join(folder, 'wrong.yaml'), lines.join('\n'));
    const { status, said } = await run(['--once', '--no-demo', '--port', '0', '--pools', folder]);
    expect(status).toBe(2);
    expect(said).toMatch(/wrong\.yaml:6:\d+.*spec\.replicas.*number/);
    expect(said).not.toMatch(/^\s+at /m);
  });

  it('with a folder of pool files that does not exist exits 2 and names it', async () => {
    const { status, said } = await run(['--once', '--port', '0', '--pools', path.join(folder, 'nowhere')]);
    expect(status).toBe(2);
    expect(said).toContain('nowhere cannot be read');
  });

  it.each([
    ['an unknown flag', ['--onse'], /--onse/],
    ['a port that is none', ['--port', '99999'], /--port: /],
    ['an address that others can reach', ['--host', '0.0.0.0'], /--host: must be a loopback address/],
    ['a log level that is none', ['--log-level', 'loud'], /--log-level: /],
  ])('with %s exits 2 and shows how it is used', async (_what, args, words) => {
    const { status, said } = await run(args);
    expect(status).toBe(2);
    expect(said).toMatch(words);
    expect(said).toContain('usage: npm start -- [options]');
    expect(said).not.toMatch(/^\s+at /m);
  });

  it('on a port that is in use says so and leaves nothing running', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    const pools = poolFolder([aNodePool(1)]);
    try {
      const { port } = await new Promise<AddressInfo>((resolve) =>
        other.once('listening', () => resolve(other.address() as AddressInfo)),
      );
      const { status, said } = await run(['--no-demo', '--port', String(port), '--pools', pools.folder]);
      expect(status).toBe(1);
      expect(said).toContain(`Port ${port} on 127.0.0.1 is in use by another program`);
      expect(said).toContain('--port N');
      expect(said).not.toMatch(/^\s+at /m);
    } finally {
      other.close();
      pools.remove();
    }
  });

  it('without Python and Java skips what needs them, with one line each, and exits 0', async () => {
    const bin = path.join(folder, 'bin');
    const functions = path.join(folder, 'functions');
    mkdirSync(bin);
    symlinkSync(process.execPath, path.join(bin, 'node'));
    for (const name of ['node-hello', 'python-hello', 'java-hello'])
      cpSync(path.join(FUNCTIONS, name), path.join(functions, name), { recursive: true });
    const { status, said } = await run(['--once', '--port', '0', '--functions', functions], { PATH: bin });
    expect({ status, said }).toMatchObject({ status: 0 });
    expect(said).toMatch(/^skipped: pool python: runtime python 3: python3 not found/m);
    expect(said).toMatch(/^skipped: function python-hello: needs python 3: python3 not found/m);
    expect(said).toMatch(/^skipped: pool java: runtime java 17: java not found/m);
    expect(said).toMatch(/^skipped: function java-hello: needs java 17: java not found/m);
    expect(said).toContain('node-hello: ');
  });
});
