import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, inject, test } from 'vitest';
import { until } from '../cluster/kubectl.ts';
import { processesOfNode } from '../cluster/node-processes.ts';

const hasEngine = inject('engine') !== undefined;
const GONE_LIMIT_MS = 60_000;

describe.skipIf(!hasEngine)('an engine of a test', () => {
  test('goes without a trace when the process that started it is killed', async () => {
    const module = new URL('./engine.ts', import.meta.url).href;
    const script = `
      const { startEngine } = await import(${JSON.stringify(module)});
      const { engine } = await startEngine([]);
      console.log(engine.socket.slice(0, engine.socket.lastIndexOf('/')));
      setInterval(() => {}, 60_000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout });
    const folder = await new Promise<string>((resolve, reject) => {
      // it also says what an earlier run has left
      lines.on('line', (line) => line.startsWith('/') && resolve(line));
      void once(child, 'exit').then(() => reject(new Error('the other process ended without an engine')));
    });
    lines.close();
    expect(await processesOfNode(folder, 'dockerd')).not.toEqual([]);
    child.kill('SIGKILL');
    await until('every trace to be gone', GONE_LIMIT_MS, async () => {
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
      const isThere = readdirSync(tmpdir()).includes(basename(folder)) || mounts.includes(basename(folder));
      return !isThere && (await processesOfNode(folder, '')).length === 0;
    });
  });
});
