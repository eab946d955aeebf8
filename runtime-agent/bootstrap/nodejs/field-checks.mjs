import { Array, Number, Object } from './globals.mjs';

/**
 * The checks that the schemas of protocol/ make, by hand: loading zod would cost every standby pod memory and boot time.
 * A unit test feeds both the same inputs.
 *
 * @import { FieldProblem } from '@warmpool/protocol/errors.ts'
 */

/** @typedef {{ pattern: RegExp, rule: string }} Shape */

const dnsLabel = {
  pattern: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
  rule: 'must be 1 to 63 lower-case letters, digits or "-", starting and ending with a letter or digit',
};
/** @satisfies {Record<string, Shape>} */
export const SHAPES = {
  dnsLabel,
  digest: {
    pattern: /^sha256:[0-9a-f]{64}$/,
    rule: 'must be "sha256:" followed by 64 lower-case hex digits',
  },
  functionName: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/,
    rule: 'must be 1 to 253 letters, digits, ".", "_", "/" and "-", starting with a letter or digit',
  },
  functionVersion: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/,
    rule: 'must be 1 to 128 letters, digits, ".", "_", "+" and "-", starting with a letter or digit',
  },
  runtimeName: {
    pattern: /^[a-z][a-z0-9-]{0,31}$/,
    rule: 'must be 1 to 32 lower-case letters, digits or "-", starting with a letter',
  },
  runtimeVersion: {
    pattern: /^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$/,
    rule: 'must be 1 to 32 letters, digits, ".", "_" or "-"',
  },
  handler: {
    pattern: /^(?!(?:.*\/)?\.\.(?:\/|$))[A-Za-z0-9_@][A-Za-z0-9_./@-]{0,255}$/,
    rule: 'must be a relative path inside the code of at most 256 characters and without "..", for example "index.handler" or "server.js"',
  },
  requestId: {
    pattern: /^[A-Za-z0-9._:-]{1,128}$/,
    rule: 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"',
  },
};

/** Collects what is wrong with the fields of one body. */
export class FieldChecks {
  /** @type {FieldProblem[]} */
  problems = [];

  /** @param {string} field @param {string} message */
  refuse(field, message) {
    this.problems.push({ field, message });
  }

  /**
   * An object with no other keys than these; `undefined` when it is not one.
   * @param {string} field @param {unknown} value @param {string[]} keys
   * @returns {Record<string, unknown> | undefined}
   */
  object(field, value, keys) {
    const object = this.record(field, value);
    if (object === undefined) return undefined;
    for (const key of Object.keys(object)) {
      if (!keys.includes(key)) this.refuse(field === '' ? key : `${field}.${key}`, 'is not a known field');
    }
    return object;
  }

  /**
   * @param {string} field @param {unknown} value
   * @returns {Record<string, unknown> | undefined}
   */
  record(field, value) {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return /** @type {Record<string, unknown>} */ (value);
    }
    this.refuse(field || '(body)', value === undefined ? 'is required' : 'must be an object');
    return undefined;
  }

  /** @param {string} field @param {unknown} value @param {Shape} shape */
  shaped(field, value, shape) {
    if (typeof value !== 'string') this.refuse(field, value === undefined ? 'is required' : 'must be a string');
    else if (!shape.pattern.test(value)) this.refuse(field, shape.rule);
  }

  /** @param {string} field @param {unknown} value @param {number} maxLength @param {number} [minLength] */
  text(field, value, maxLength, minLength = 0) {
    if (typeof value !== 'string') this.refuse(field, value === undefined ? 'is required' : 'must be a string');
    else if (value.length < minLength || value.length > maxLength) {
      this.refuse(field, `must have ${minLength} to ${maxLength} characters`);
    }
  }

  /** @param {string} field @param {unknown} value @param {number} min @param {number} [max] */
  whole(field, value, min, max = Number.MAX_SAFE_INTEGER) {
    if (value === undefined) this.refuse(field, 'is required');
    else if (
      !Number.isSafeInteger(value) ||
      /** @type {number} */ (value) < min ||
      /** @type {number} */ (value) > max
    ) {
      this.refuse(field, `must be a whole number from ${min} to ${max}`);
    }
  }

  /** @param {string} field @param {unknown} value @param {string[]} choices */
  oneOf(field, value, choices) {
    if (typeof value === 'string' && choices.includes(value)) return;
    this.refuse(field, value === undefined ? 'is required' : `must be one of ${choices.join(', ')}`);
  }
}
