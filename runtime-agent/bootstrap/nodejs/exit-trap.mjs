import { Error, Number } from './globals.mjs';

/** `process.exit` calls `process.reallyExit`, and some code calls that directly. */
const hooks =
  /** @type {{ exit: (code?: number | string | null) => never, reallyExit: (code?: number | string | null) => never }} */ (
    /** @type {unknown} */ (process)
  );

/** Thrown out of `process.exit` to stop the code that called it. */
export class ExitCalled extends Error {
  /** @param {number} exitCode */
  constructor(exitCode) {
    super(`process.exit(${exitCode}) was called`);
    this.exitCode = exitCode;
  }
}

/**
 * Turns what would end the process at once, `process.exit` and errors that nobody caught, into calls of the agent, so that the
 * caller of a load or a request gets an answer first.
 */
export class ExitTrap {
  #exit = hooks.exit;
  #reallyExit = hooks.reallyExit;
  /** @type {(thrown: unknown) => void} */
  #onUncaught;

  /** @param {(call: ExitCalled) => void} onExit @param {(thrown: unknown) => void} onUncaught */
  constructor(onExit, onUncaught) {
    this.onExit = onExit;
    this.#onUncaught = (thrown) => {
      if (thrown instanceof ExitCalled) return;
      // the user's code has its own way with such errors
      if (process.listenerCount('uncaughtException') > 1) return;
      onUncaught(thrown);
    };
  }

  install() {
    /** @type {typeof hooks.exit} */
    const trapped = (code) => {
      const call = new ExitCalled(Number(code ?? process.exitCode ?? 0));
      this.onExit(call);
      throw call;
    };
    hooks.exit = trapped;
    hooks.reallyExit = trapped;
    process.on('uncaughtException', this.#onUncaught);
  }

  uninstall() {
    hooks.exit = this.#exit;
    hooks.reallyExit = this.#reallyExit;
    process.off('uncaughtException', this.#onUncaught);
  }

  /** Ends the process for real. @param {number} code */
  endProcess(code) {
    this.uninstall();
    hooks.exit(code);
  }
}
