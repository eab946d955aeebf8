import type { Offer } from './functions.ts';
import type { Instance, StartSettings } from './instance.ts';

/** Where a case begins, and what it leaves behind. */
type Beginning =
  /** Gets a standby process and leaves it standby. */
  | 'standby'
  /** Gets a process with the function `acts` loaded, idle, and leaves it so. */
  | 'loaded'
  /** Starts processes of its own, which nobody uses after it. */
  | 'fresh';

export interface CaseTools {
  /** Of cases that begin `standby` or `loaded`. */
  runtime: Instance;
  /** A process of the case's own. */
  start: (settings?: StartSettings) => Promise<Instance>;
  /** The same, with `acts` loaded. */
  startLoaded: (changes?: Record<string, unknown>, settings?: StartSettings) => Promise<Instance>;
}

/** One rule of docs/runtime-contract.md, tried from outside. */
export interface ConformanceCase {
  /** The rule's name in the contract page, which is also its anchor. */
  rule: string;
  /** What a runtime does that keeps the rule. */
  title: string;
  begins: Beginning;
  /** Has to start the process itself: for its settings, signals, output or exit code. */
  needsProcess?: boolean;
  /** Only for runtimes that offer it. */
  offer?: Offer;
  run: (tools: CaseTools) => Promise<void>;
}
