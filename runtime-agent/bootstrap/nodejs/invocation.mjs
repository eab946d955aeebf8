import { AbortController, clearTimeout, performance, setTimeout } from './globals.mjs';

/**
 * @import { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 * @import { AgentError } from './errors.mjs'
 * @import { EncodedResult } from './event-codec.mjs'
 * @import { RequestRecord } from './request-log.mjs'
 */

/**
 * @typedef {{ method: string, path: string, query: Record<string, string>, headers: Record<string, unknown> }} HttpFacts
 * @typedef {{ id: string, event: unknown, sizeBytes: number, callerDeadlineUnixMs: number, http: HttpFacts }} Call
 * @typedef {{ handler: (event: unknown, context: unknown) => unknown, load: LoadRequest }} Bound
 * @typedef {Pick<EncodedResult, 'statusCode' | 'headers'> & { pieces: AsyncIterable<Uint8Array | string> }} StreamResult
 * @typedef {{ result: EncodedResult | StreamResult, queueMs: number, handlerMs: number }} Outcome
 *
 * @typedef {object} Active a request that is queued or running
 * @property {Call} call
 * @property {RequestRecord} record
 * @property {AbortController} cancellation
 * @property {number} arrivedAt
 * @property {number} startedAt
 * @property {number} deadlineUnixMs
 * @property {() => void} cancelTimer
 * @property {boolean} isKilled
 * @property {(outcome: Outcome) => void} resolve
 * @property {(error: AgentError) => void} reject
 */

/**
 * @param {Call} call @param {RequestRecord} record
 * @param {Active['resolve']} resolve @param {Active['reject']} reject
 * @returns {Active}
 */
export function openInvocation(call, record, resolve, reject) {
  return {
    call,
    record,
    cancellation: new AbortController(),
    arrivedAt: performance.now(),
    startedAt: 0,
    deadlineUnixMs: Infinity,
    cancelTimer: () => {},
    isKilled: false,
    resolve,
    reject,
  };
}

/** @param {Active} active @param {EncodedResult | StreamResult} result @returns {Outcome} */
export function timed(active, result) {
  const { arrivedAt, startedAt } = active;
  return { result, queueMs: startedAt - arrivedAt, handlerMs: performance.now() - startedAt };
}

/** @param {number} delayMs @param {() => void} task @returns {() => void} cancels it */
export function after(delayMs, task) {
  const timer = setTimeout(task, delayMs);
  return () => clearTimeout(timer);
}
