import { realpathSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Bench } from './suite.ts';

export function environmentCases({ fixtures, start }: Bench): void {
  it('shows the module nothing but the claim, the allow-list and PORT', async () => {
    const runtime = await start({ env: { CONTAINER_SECRET: 'not for functions', LANG: 'C.UTF-8', TMPDIR: '/tmp' } });
    const env = { GREETING: 'hello', HOME: '/home/of/the/claim', PORT: '1' };
    await runtime.load(fixtures.acts, { env });
    const expected = {
      PATH: process.env['PATH'],
      LANG: 'C.UTF-8',
      TMPDIR: '/tmp',
      HOME: '/home/of/the/claim',
      GREETING: 'hello',
      PORT: String(runtime.port),
    };
    expect((await runtime.invoke({ act: 'env' })).json).toEqual(expected);
    expect((await runtime.invoke({ act: 'importEnv' })).json).toEqual(expected);
  });

  it('puts the time zone of the claim into effect', async () => {
    const [tokyo, container] = await Promise.all([
      start({ env: { TZ: 'America/Lima' } }),
      start({ env: { TZ: 'America/Lima' } }),
    ]);
    await tokyo.load(fixtures.acts, { env: { TZ: 'Asia/Tokyo' } });
    await container.load(fixtures.acts);
    expect((await tokyo.invoke({ act: 'hour' })).json).toEqual({ hour: 9 });
    expect((await container.invoke({ act: 'hour' })).json).toEqual({ hour: 19 });
  });

  it('carries any text in env values', async () => {
    const runtime = await start();
    const env = { UNICODE: 'žluťoučký 🐎 日本語', LINES: 'a\nb\r\n"c"', EMPTY: '', LONG: 'x'.repeat(32 * 1024) };
    await runtime.load(fixtures.acts, { env });
    expect((await runtime.invoke({ act: 'env' })).json).toMatchObject(env);
  });

  it('runs in the code folder, with the program and the module as arguments', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const where = (await runtime.invoke({ act: 'where' })).json as { cwd: string; argv: string[] };
    const codePath = realpathSync(`${runtime.folder}/code`);
    expect(realpathSync(where.cwd)).toBe(codePath);
    expect(where.argv.join(' ')).not.toContain('bootstrap');
    expect(where.argv.some((each) => each.includes('/code/'))).toBe(true);
  });

  it('shows user code no trace of the rehearsal', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    expect((await runtime.invoke({ act: 'traces' })).json).toEqual([]);
    const logs = await runtime.send({ method: 'GET', path: '/v1/logs' });
    expect(logs.json).toEqual({ lines: [], truncated: false });
    expect(runtime.output).toBe('');
    expect((await runtime.status()).executions).toBe(1);
  });
}
