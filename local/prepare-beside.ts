import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runPreparer } from '@warmpool/host-agent/prepare/run-preparer.ts';
import { POD_PREPARED_FOLDER } from '@warmpool/protocol/names.ts';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { preparerOf } from './preparers.ts';

/** Makes the prepared form of one tree, as the host-agent does, for a program that has none. Returns its size. */
export async function prepareBeside(treePath: string, runtime: RuntimeDescription): Promise<number> {
  const command = preparerOf(runtime);
  const form = command === undefined ? undefined : await runPreparer(command, treePath).form;
  if (form === undefined) return 0;
  const folder = path.join(path.dirname(treePath), POD_PREPARED_FOLDER, form.folder);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, form.file), form.content);
  return form.content.length;
}
