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
  #exit = process.exit;
  #reallyExit = process.reallyExit;
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
    /** @type {typeof process.exit} */
    const trapped = (code) => {
      const call = new ExitCalled(Number(code ?? process.exitCode ?? 0));
      this.onExit(call);
      throw call;
    };
    process.exit = trapped;
    process.reallyExit = trapped;
    process.on('uncaughtException', this.#onUncaught);
  }

  uninstall() {
    process.exit = this.#exit;
    process.reallyExit = this.#reallyExit;
    process.off('uncaughtException', this.#onUncaught);
  }

  /** Ends the process for real. @param {number} code */
  endProcess(code) {
    this.uninstall();
    process.exit(code);
  }
}
