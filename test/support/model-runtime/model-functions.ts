import { setTimeout as sleep } from 'node:timers/promises';

/** What the model's functions may use of their process. */
export interface FunctionWorld {
  env: Record<string, string>;
  importEnv: Record<string, string>;
  codePath: string;
  write: (stream: 'stdout' | 'stderr', bytes: string | Buffer) => void;
  breaks: (rule: string) => boolean;
  counters: { running: number; most: number };
}

export class ExitCalled extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`the function called exit(${exitCode})`);
    this.exitCode = exitCode;
  }
}

export interface CallContext {
  signal: AbortSignal;
  [fact: string]: unknown;
}

export type ActEvent = { act?: string } & Record<string, unknown>;

const never = (): Promise<never> => new Promise(() => {});

/** The functions of conformance/functions/README.md, built in. */
export async function callActs(raw: unknown, context: CallContext, world: FunctionWorld): Promise<unknown> {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw) || raw instanceof Uint8Array) {
    const type = typeof raw === 'string' ? 'text' : raw instanceof Uint8Array ? 'bytes' : 'json';
    return { type, length: (raw as { length?: number } | null)?.length ?? 0 };
  }
  const event = raw as ActEvent;
  const { write, breaks, env, counters } = world;
  const ms = Number(event['ms'] ?? 0);
  switch (event.act ?? 'echo') {
    case 'echo': {
      const { signal: _, ...facts } = context;
      return { event, context: facts };
    }
    case 'env':
      return env;
    case 'importEnv':
      return world.importEnv;
    case 'where': {
      const cwd = breaks('ENV-8') ? '/' : world.codePath;
      return { cwd, argv: ['model', `${world.codePath}/index`, ...(breaks('ENV-9') ? ['--agent'] : [])] };
    }
    case 'hour':
      return { hour: hourIn(env['TZ']) };
    case 'log':
      write('stdout', `${String(event['text'])}\n`);
      return write('stderr', `error: ${String(event['text'])}\n`);
    case 'logTwice':
      write('stdout', `${String(event['text'])} begins\n`);
      await sleep(ms);
      return write('stdout', `${String(event['text'])} ends\n`);
    case 'write':
      return write('stdout', String(event['text']));
    case 'longLine':
      return write('stdout', `${'x'.repeat(Number(event['sizeBytes']))}\n`);
    case 'rubbish':
      return write('stdout', Buffer.from([0, 255, 254, 195, 10]));
    case 'throw':
      throw new Error(String(event['message']));
    case 'wait':
      await sleep(ms, undefined, { signal: context.signal });
      return { waited: ms };
    case 'stubborn':
      write('stdout', 'stubborn\n');
      await sleep(ms, undefined, { ref: false });
      return { waited: ms };
    case 'overlap': {
      counters.running += 1;
      counters.most = Math.max(counters.most, counters.running);
      await sleep(ms);
      counters.running -= 1;
      return { most: counters.most };
    }
    case 'spin':
      return never();
    case 'exit':
      throw new ExitCalled(Number(event['exitCode']));
    case 'respond':
      return event['reply'];
    case 'nothing':
      return undefined;
    case 'bytes': {
      const sizeBytes = Number(event['sizeBytes']);
      return Buffer.alloc(breaks('INVOKE-26') ? Math.min(sizeBytes, 4 * 1024 * 1024) : sizeBytes, 7);
    }
    case 'stream':
      return pieces(event);
    case 'traces':
      return breaks('ENV-10') ? ['rehearsal'] : [];
    default:
      throw new Error(`no act ${event.act}`);
  }
}

async function* pieces(event: ActEvent): AsyncGenerator<string> {
  for (const [index, piece] of (event['pieces'] as string[]).entries()) {
    if (index === event['failsAfter']) throw new Error('the source dried up');
    if (index > 0) await sleep(Number(event['ms']));
    yield piece;
  }
}

function hourIn(timeZone = 'UTC'): number {
  const hour = new Intl.DateTimeFormat('en-GB', { hour: 'numeric', hour12: false, timeZone }).format(new Date(0));
  return Number(hour) % 24;
}
