/**
 * What a language brings so that the suite can be run against its runtime: the same small functions, written in it.
 *
 *   const fixtures: RuntimeFixtures = { acts: { handler: 'acts.run', files: { 'acts.py': '...' } }, ... };
 *   runtimeContract(await describeRuntime(folder), fixtures);
 */
export interface Fixture {
  /** As in `/v1/load`: `<module>.<export>`, or the module's file for the fixtures whose name starts with `http`. */
  handler: string;
  /** The code folder: relative file name to content. */
  files: Record<string, string>;
}

export interface RuntimeFixtures {
  /**
   * The handler that most cases use. The event is a JSON object with `act`:
   *
   * - `echo`: returns `{ event, context: { requestId, deadlineUnixMs, remainingTimeMs (a number), claimId, function,
   *    service, http } }`
   * - `env`: returns the whole environment as an object
   * - `importEnv`: returns the whole environment as it was while the module was imported
   * - `where`: returns `{ cwd, argv }`
   * - `hour`: returns `{ hour }`, the local hour of Unix time 0 in the process's time zone
   * - `log` with `text`: one line `text` to stdout, one line `error: ${text}` to stderr, returns nothing
   * - `longLine` with `sizeBytes`: writes one line of that many `x` to stdout, returns nothing
   * - `throw` with `message`: throws an error with it
   * - `wait` with `ms`: waits without using CPU, heeds a cancellation by throwing, returns `{ waited: ms }`
   * - `stubborn` with `ms`: waits without using CPU and does not heed a cancellation, returns `{ waited: ms }`
   * - `spin`: loops for ever without yielding
   * - `exit` with `exitCode`: ends the process with the language's normal exit call
   * - `respond` with `reply`: returns `event.reply` as it is (`{ statusCode, headers, body }` or any JSON value)
   * - `nothing`: returns null or the like
   * - `bytes` with `sizeBytes`: returns that many bytes of value 7
   * - `traces`: returns a list of the names that a rehearsal has left visible to user code (modules, globals, env,
   *    temporary files, arguments); it must be empty
   *
   * An event that is not an object: returns `{ type: 'text' | 'bytes' | 'json', length }` (`json` for arrays and scalars).
   */
  acts: Fixture;
  /** Throws `Error('no database today')` at import. */
  throwsOnImport: Fixture;
  /** Does not parse. */
  syntaxError: Fixture;
  /** Ends the process with exit code 3 at import. */
  exitsOnImport: Fixture;
  /** Loops for ever at import, using CPU. */
  spinsOnImport: Fixture;
  /** Waits for ever at import, without using CPU. */
  waitsOnImport: Fixture;
  /** Importing takes about 300 ms and then succeeds; the handler returns `{ ok: true }`. */
  slowImport: Fixture;
  /** `handler` names an export `handler` that does not exist; the module has a function `other` and nothing else. */
  handlerMissing: Fixture;
  /** `handler` names an export that is the string `"not a function"`. */
  handlerNotFunction: Fixture;
  /** `handler` names a module that is not among the files. */
  moduleMissing: Fixture;
  /** Kind `http`: listens on `$PORT`; answers every request with JSON `{ method, url, body }` and prints `served ${url}`. */
  httpApp: Fixture;
  /** Kind `http`: is imported and keeps running without listening anywhere. */
  httpNeverListens: Fixture;
  /** Kind `http`: listens on some other free port of 127.0.0.1. */
  httpWrongPort: Fixture;
  /** Kind `http`: throws `Error('no database today')` at import. */
  httpThrows: Fixture;
}
