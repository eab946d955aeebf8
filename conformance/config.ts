import path from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { ALL_CASES } from './all-cases.ts';
import { FUNCTIONS_FOLDER } from './functions.ts';

export const USAGE = `usage: npm run conformance -- TARGET [options]
  TARGET is one of
    --runtime FOLDER     a runtime folder with a runtime.json, started once for each standby process
    --command "WORDS"    a command that starts one standby process
    --image IMAGE        a container image that starts one standby process
    --socket PATH        a standby process that is there already; may be repeated, each is used up once
    --url URL            the same over TCP
  options
    --functions NAME     test functions: nodejs, python or a folder with a functions.json; default: the runtime's name
    --code-path PATH     where the runtime sees the test functions, which are there already (--socket, --url)
    --version VERSION    the runtime version that the processes are started with, default 1 (--command, --image)
    --container-tool T   docker, podman or nerdctl, default docker (--image)
    --only RULE          only this case; may be repeated
    --lanes N            cases side by side, default 4; one with --socket and --url
    --json               one JSON object instead of a report`;

const KINDS = ['runtime', 'command', 'image', 'socket', 'url'] as const;
const lanesSchema = z.coerce.number().int().min(1).max(64);

export interface ConformanceConfig {
  kind: (typeof KINDS)[number];
  /** One folder, command or image; or all sockets or URLs. */
  targets: string[];
  functionsFolder: string | undefined;
  codePath: string | undefined;
  version: string;
  containerTool: string;
  only: string[];
  lanes: number;
  json: boolean;
  /** For what is started. */
  path: string;
}

export const wantsHelp = (): boolean => process.argv.includes('--help');

/** @throws Error with a sentence for the person who started the program. */
export function readConfig(argv: string[], env: NodeJS.ProcessEnv): ConformanceConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      runtime: { type: 'string' },
      command: { type: 'string' },
      image: { type: 'string' },
      socket: { type: 'string', multiple: true },
      url: { type: 'string', multiple: true },
      functions: { type: 'string' },
      'code-path': { type: 'string' },
      version: { type: 'string', default: '1' },
      'container-tool': { type: 'string', default: 'docker' },
      only: { type: 'string', multiple: true, default: [] },
      lanes: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
    },
  });
  const given = KINDS.filter((kind) => values[kind] !== undefined);
  const [kind] = given;
  if (kind === undefined || given.length > 1) {
    throw new Error(`name one target: ${KINDS.map((each) => `--${each}`).join(', ')}`);
  }
  const unknown = values.only.find((rule) => !ALL_CASES.some((each) => each.rule === rule));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there is no such rule`);
  if (kind !== 'runtime' && values.functions === undefined) {
    throw new Error(`--functions is needed with --${kind}: nodejs, python or a folder with a functions.json`);
  }
  const lanes = lanesSchema.safeParse(values.lanes);
  if (!lanes.success) throw new Error(`--lanes ${values.lanes}: must be a number from 1 to 64`);
  const isAttached = kind === 'socket' || kind === 'url';
  return {
    kind,
    targets: [values[kind] ?? []].flat(),
    functionsFolder: values.functions === undefined ? undefined : functionsFolderOf(values.functions),
    codePath: values['code-path'],
    version: values.version,
    containerTool: values['container-tool'],
    only: values.only,
    lanes: isAttached ? 1 : lanes.data,
    json: values.json,
    path: env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
  };
}

export function functionsFolderOf(name: string): string {
  return /^[\w-]+$/.test(name) ? path.join(FUNCTIONS_FOLDER, name) : path.resolve(name);
}
