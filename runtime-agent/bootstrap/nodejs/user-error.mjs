import { fileURLToPath } from 'node:url';
import { Error, JSON, String } from './globals.mjs';

const AGENT_FOLDER = fileURLToPath(new URL('.', import.meta.url));
const STACK_LIMIT_CHARACTERS = 4096;

/**
 * What the user's code threw, in words, without frames of the agent or of Node.
 * @param {unknown} thrown
 * @returns {{ message: string, stack?: string }}
 */
export function describeUserError(thrown) {
  try {
    if (!(thrown instanceof Error)) return { message: `threw ${inWords(thrown)}` };
    const message = `${thrown.name}: ${thrown.message}`;
    const stack = typeof thrown.stack === 'string' ? trimStack(thrown.stack) : undefined;
    return stack === undefined ? { message } : { message, stack };
  } catch {
    return { message: 'threw an error that cannot be described' };
  }
}

/** @param {string} stack */
export function trimStack(stack) {
  const headEnd = stack.indexOf('\n\n');
  // Node may put the place of a rethrow in front
  const own = headEnd > 0 && isForeignFrame(stack.slice(0, headEnd)) ? stack.slice(headEnd + 2) : stack;
  const lines = own.split('\n').filter((line) => !/^\s+at /.test(line) || !isForeignFrame(line));
  return lines.join('\n').slice(0, STACK_LIMIT_CHARACTERS);
}

/** @param {string} frame */
function isForeignFrame(frame) {
  return frame.includes(AGENT_FOLDER) || frame.includes('node:internal/') || frame.includes('node:vm');
}

/** @param {unknown} value */
function inWords(value) {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}
