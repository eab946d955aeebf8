import { existsSync } from 'node:fs';
import path from 'node:path';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { functionsFolderOf } from './config.ts';
import type { ConformanceConfig } from './config.ts';
import type { Address } from './exchange.ts';
import { readFunctionSet } from './functions.ts';
import type { FunctionSet } from './functions.ts';
import type { Target } from './lane.ts';
import { prepareFunctions } from './prepare-functions.ts';
import { AttachedTarget } from './targets/attached-target.ts';
import { containerWords } from './targets/container-words.ts';
import { ProcessTarget } from './targets/process-target.ts';

/** From what the person named to where processes come from. `folder` takes the test functions. */
export async function createTarget(config: ConformanceConfig, folder: string): Promise<Target> {
  const { kind, targets, version, containerTool } = config;
  const [first = ''] = targets;
  if (kind === 'runtime') return runtimeTarget(config, first, folder);
  const source = config.functionsFolder ?? '';
  if (kind === 'socket' || kind === 'url') {
    const isThere = config.codePath !== undefined;
    const functions: FunctionSet = isThere ? readFunctionSet(source) : prepareFunctions(source, folder);
    return new AttachedTarget({ controls: targets.map(addressOf), functions, codePath: config.codePath ?? folder });
  }
  const functions = prepareFunctions(source, folder);
  const facts = { functions, codePath: folder, path: config.path, runtime: { name: functions.runtime, version } };
  if (kind === 'image') {
    return new ProcessTarget({ ...facts, isContainer: true, words: containerWords(containerTool, first, folder) });
  }
  // each process gets a working directory of its own
  const words = first
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => (existsSync(word) ? path.resolve(word) : word));
  return new ProcessTarget({ ...facts, words: () => words });
}

async function runtimeTarget(config: ConformanceConfig, runtimeFolder: string, folder: string): Promise<Target> {
  const runtime = await describeRuntime(path.resolve(runtimeFolder));
  if ('missing' in runtime) throw new Error(`${runtimeFolder} cannot be started here: ${runtime.missing}`);
  const { name, version, command } = runtime;
  const functions = prepareFunctions(config.functionsFolder ?? functionsFolderOf(name), folder);
  return new ProcessTarget({
    functions,
    codePath: folder,
    path: config.path,
    runtime: { name, version },
    words: () => command,
  });
}

function addressOf(target: string): Address {
  if (!URL.canParse(target)) return { socketPath: target };
  const { hostname, port } = new URL(target);
  return { host: hostname, port: Number(port === '' ? 80 : port) };
}
