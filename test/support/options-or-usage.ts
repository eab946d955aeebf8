/** What `read` makes of the command line; `undefined` when only help was wanted or the options are wrong, which has been said then. */
export function optionsOrUsage<T>(usage: string, read: () => T): T | undefined {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${usage}\n`);
    return undefined;
  }
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
    process.exitCode = 2;
    return undefined;
  }
}
