/** Longer than this, a write is not waited for; well under the time that a lost leader's writes may take. */
export const WRITE_TIMEOUT_MS = 4_000;
/** After this long, a write that was not answered has been made or never will be. */
export const UNKNOWN_WRITE_MS = 15_000;
