import { exchange, Trail } from '../exchange.ts';
import type { Address } from '../exchange.ts';
import type { FunctionSet } from '../functions.ts';
import { Instance } from '../instance.ts';
import type { Target } from '../lane.ts';

interface AttachedTargetFacts {
  /** Each is a standby process that somebody else has started; each is used up once. */
  controls: Address[];
  functions: FunctionSet;
  codePath: string;
}

/** Processes that are there already. They load once in their life, so as many cases can be run as there are of them. */
export class AttachedTarget implements Target {
  readonly ownsProcesses = false;
  readonly offers: ReadonlySet<string>;
  readonly #facts: AttachedTargetFacts;
  readonly #left: Address[];

  constructor(facts: AttachedTargetFacts) {
    this.#facts = facts;
    this.#left = [...facts.controls];
    this.offers = new Set(facts.functions.offers);
  }

  async start(): Promise<Instance | undefined> {
    const control = this.#left.shift();
    if (control === undefined) return undefined;
    const { functions, codePath } = this.#facts;
    const answer = await exchange(control, { method: 'GET', path: '/v1/status' }, new Trail());
    const { runtime } = answer.body as { runtime: { name: string; version: string } };
    return new Instance({
      control,
      servedHost: 'host' in control ? control.host : '127.0.0.1',
      runtime,
      functions,
      codePath,
      dispose: async () => {
        const kill = { path: '/v1/kill', body: { mode: 'force', reason: 'the conformance kit is done with it' } };
        await exchange(control, kill, new Trail()).catch(() => {});
      },
    });
  }
}
