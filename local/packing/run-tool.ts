import { execFile } from 'node:child_process';
import type { ExecFileException } from 'node:child_process';

const TIME_LIMIT_MS = 5 * 60_000;

/** A tool is not there, or could not do its work for a reason that is not ours. The message is for the person at the terminal. */
export class ToolError extends Error {
  override readonly name = 'ToolError';
}

export interface ToolRun {
  program: string;
  args: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  /** What to do when the program is not there. */
  remedy: string;
}

export function runTool({ program, args, cwd, env, remedy }: ToolRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...env }, timeout: TIME_LIMIT_MS, maxBuffer: 16 * 1024 * 1024 };
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) resolve();
      else reject(new ToolError(describeFailure(program, error, `${stdout}\n${stderr}`, remedy), { cause: error }));
    });
  });
}

function describeFailure(program: string, error: ExecFileException, output: string, remedy: string): string {
  if (error.code === 'ENOENT') return `${program} is not on the PATH; ${remedy}`;
  if (error.killed === true) return `${program} did not end within ${TIME_LIMIT_MS / 60_000} minutes`;
  if (output.includes('No module named pip')) return `pip is missing; ${remedy}`;
  if (
    /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|NewConnectionError|ConnectTimeout|UnknownHostException|Unknown host|\(from versions: none\)/.test(
      output,
    )
  ) {
    return `${program} cannot reach its package registry; connect to the network, or name a mirror (npm_config_registry, PIP_INDEX_URL, Maven's settings.xml)`;
  }
  const lines = output.split('\n').filter((line) => /error/i.test(line));
  return `${program} failed: ${(lines[0] ?? error.message).trim()}`;
}
