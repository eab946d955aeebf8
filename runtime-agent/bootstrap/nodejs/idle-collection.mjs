import { runInNewContext } from 'node:vm';
import { Number } from './globals.mjs';

const v8 = process.getBuiltinModule('node:v8');

/** Of V8's own. */
const COLLECTIONS = 2;
const [major = 0, minor = 0] = process.versions.v8.split('.').map(Number);
/** An older V8 does not know the setting, and says so on stderr. */
const isKnown = major > 13 || (major === 13 && minor >= 6);

/**
 * V8 collects garbage twice when a process has done nothing for 8 s, and lays its heap together. A standby process would then have warmed
 * up for nothing: load and first request take a third longer (docs/decisions/0026).
 */
export function pauseIdleCollection() {
  if (isKnown) v8.setFlagsFromString('--memory-reducer-gc-count=0');
}

/** To be called before anything compares V8's settings, as prepared code does. */
export function resumeIdleCollection() {
  if (isKnown) v8.setFlagsFromString(`--memory-reducer-gc-count=${COLLECTIONS}`);
}

/** What V8 would have done when it found the process idle: for what has left much garbage behind. */
export function collectNow() {
  v8.setFlagsFromString('--expose-gc');
  runInNewContext('gc({ type: "major", flavor: "last-resort" })');
  v8.setFlagsFromString('--no-expose-gc');
}
