import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BOOTSTRAP_FOLDER } from '@warmpool/runtime-agent/runtimes.ts';
import { runTool } from '../packing/run-tool.ts';
import { removeFolder } from '../remove-folder.ts';

const SOURCE = fileURLToPath(new URL('java/ColdHandler.java', import.meta.url));

type Env = Readonly<Record<string, string | undefined>>;

/** The command that serves a Java function from nothing, with what it needs compiled before and removed by `dispose`. */
export async function javaCommand(
  treeDir: string,
  handler: string,
  env: Env,
): Promise<{ command: string[]; dispose: () => Promise<void> }> {
  const compiled = path.join(os.tmpdir(), `warmpool-cold-${randomUUID()}`);
  await mkdir(compiled);
  await runTool({
    program: 'javac',
    // it finds the handler and speaks JSON with the very classes of the agent
    args: ['-nowarn', '-sourcepath', path.join(BOOTSTRAP_FOLDER, 'java/src'), '-d', compiled, SOURCE],
    cwd: compiled,
    env,
    remedy: 'install a JDK of version 17 or newer',
  });
  const classPath = [compiled, path.join(treeDir, 'classes'), path.join(treeDir, 'lib/*'), path.join(treeDir, '*')];
  const command = ['java', '-cp', classPath.join(path.delimiter), 'dev.warmpool.runtime.ColdHandler', handler];
  return { command, dispose: () => removeFolder(compiled) };
}
