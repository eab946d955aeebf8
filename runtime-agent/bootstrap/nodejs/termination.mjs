import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Date, JSON, String } from './globals.mjs';

/**
 * @typedef {'InitTimeout' | 'RequestTimeout' | 'UserCodeError' | 'HandlerNotFound' | 'ListenFailed' | 'Crashed' | 'Exited'
 *   | 'Killed' | 'BootFailed'} TerminationReason
 */

/** `termination.json` beside the socket: why the process ended, for whoever finds it dead. */
export class TerminationFile {
  /** @param {string} file */
  constructor(file) {
    this.file = file;
    rmSync(file, { force: true });
  }

  /** The first reason stands. @param {TerminationReason} reason @param {string} message @param {string} [requestId] */
  write(reason, message, requestId) {
    if (this.isWritten) return;
    this.isWritten = true;
    writeTermination(this.file, reason, message, requestId);
  }

  isWritten = false;
}

/** @param {string} file @param {string} reason @param {string} message @param {string} [requestId] */
export function writeTermination(file, reason, message, requestId) {
  const body = { reason, message, ...(requestId ? { requestId } : {}), atUnixMs: Date.now() };
  try {
    writeFileSync(`${file}.part`, JSON.stringify(body));
    renameSync(`${file}.part`, file);
  } catch (error) {
    process.stderr.write(`termination (${reason}: ${message}) could not be written: ${String(error)}\n`);
  }
}
