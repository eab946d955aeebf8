import type { CaseTools, ConformanceCase } from './conformance-case.ts';
import { Trail } from './exchange.ts';
import { BrokenRule } from './expectation.ts';
import type { Instance, StartSettings } from './instance.ts';

/** Where processes to test come from. */
export interface Target {
  /** Undefined when there is none left. */
  start(settings?: StartSettings): Promise<Instance | undefined>;
  /** Whether the kit starts the processes itself, and so sees their output, exit codes and signals. */
  ownsProcesses: boolean;
  offers: ReadonlySet<string>;
}

export type CaseResult =
  | { outcome: 'passed'; durationMs: number }
  | { outcome: 'failed'; durationMs: number; looksAt: string; expected: string; came: string; exchanges: string[] }
  | { outcome: 'not run'; why: string };

class NoProcessLeft extends Error {}

const LONGEST_CASE_MS = 60_000;

/**
 * Runs cases one after another. A process that a case must leave as it was serves the next one too, until a case fails: so a fault
 * shows in the case of its rule and not in those after it.
 */
export class Lane {
  readonly #target: Target;
  #shared: { instance: Instance; isLoaded: boolean } | undefined;

  constructor(target: Target) {
    this.#target = target;
  }

  async run(tried: ConformanceCase): Promise<CaseResult> {
    if (tried.needsProcess === true && !this.#target.ownsProcesses) {
      return { outcome: 'not run', why: 'needs --command, --runtime or --image' };
    }
    if (tried.offer !== undefined && !this.#target.offers.has(tried.offer)) {
      return { outcome: 'not run', why: `${tried.offer} is not offered by this runtime` };
    }
    const own: Instance[] = [];
    const trail = new Trail();
    const startedAt = performance.now();
    try {
      await within(LONGEST_CASE_MS, tried.run(await this.#tools(tried, own, trail)));
      return { outcome: 'passed', durationMs: performance.now() - startedAt };
    } catch (error) {
      if (error instanceof NoProcessLeft) return { outcome: 'not run', why: error.message };
      await this.#dropShared();
      const durationMs = performance.now() - startedAt;
      return { outcome: 'failed', durationMs, ...described(error), exchanges: trail.lines };
    } finally {
      await Promise.all(own.map((each) => each.dispose()));
    }
  }

  dispose(): Promise<void> {
    return this.#dropShared();
  }

  async #tools(tried: ConformanceCase, own: Instance[], trail: Trail): Promise<CaseTools> {
    const start = async (settings?: StartSettings): Promise<Instance> => {
      const instance = await this.#start(settings);
      instance.trail = trail;
      own.push(instance);
      return instance;
    };
    const startLoaded = async (changes?: Record<string, unknown>, settings?: StartSettings): Promise<Instance> => {
      const instance = await start(settings);
      await loadActs(instance, changes);
      return instance;
    };
    const tools = { start, startLoaded };
    if (tried.begins === 'fresh') {
      return {
        ...tools,
        get runtime(): Instance {
          throw new Error(`case ${tried.rule} begins fresh and has to start its own process`);
        },
      };
    }
    return { ...tools, runtime: await this.#sharedFor(tried.begins === 'loaded', trail) };
  }

  async #sharedFor(isLoaded: boolean, trail: Trail): Promise<Instance> {
    if (this.#shared?.isLoaded === true && !isLoaded) await this.#dropShared();
    this.#shared ??= { instance: await this.#start(), isLoaded: false };
    const { instance } = this.#shared;
    instance.trail = trail;
    if (isLoaded && !this.#shared.isLoaded) {
      await loadActs(instance);
      this.#shared.isLoaded = true;
    }
    return instance;
  }

  async #start(settings?: StartSettings): Promise<Instance> {
    const instance = await this.#target.start(settings);
    if (instance === undefined)
      throw new NoProcessLeft('needs another standby process: name one more --socket or --url');
    return instance;
  }

  async #dropShared(): Promise<void> {
    const shared = this.#shared;
    this.#shared = undefined;
    await shared?.instance.dispose();
  }
}

async function loadActs(instance: Instance, changes?: Record<string, unknown>): Promise<void> {
  const answer = await instance.load('acts', changes);
  if (answer.status !== 200) {
    throw new BrokenRule(
      'the load that the case begins with',
      'status 200',
      `${answer.status} ${answer.bytes.toString()}`,
    );
  }
}

function described(error: unknown): { looksAt: string; expected: string; came: string } {
  if (error instanceof BrokenRule) return { looksAt: error.looksAt, expected: error.expected, came: error.came };
  return {
    looksAt: 'the exchange',
    expected: 'an answer',
    came: error instanceof Error ? error.message : String(error),
  };
}

async function within(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new BrokenRule('the case', `to end within ${limitMs} ms`, 'it goes on')), limitMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
