import type { Random } from '../engine/random.ts';

/** Fields that the server makes up: seeded, so that a run can be replayed. */

/** Without letters and digits that form words or look alike, as the apiserver has it. */
const SUFFIX_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

export function randomSuffix(random: Random): string {
  let suffix = '';
  for (let index = 0; index < 5; index += 1) suffix += SUFFIX_ALPHABET[Math.floor(random() * SUFFIX_ALPHABET.length)];
  return suffix;
}

export function randomUid(random: Random): string {
  let hex = '';
  for (let index = 0; index < 4; index += 1) {
    hex += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  }
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** metav1.Time: whole seconds. */
export function apiTime(unixMs: number): string {
  return `${new Date(unixMs).toISOString().slice(0, 19)}Z`;
}
