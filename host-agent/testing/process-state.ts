import { readFileSync } from 'node:fs';

/** As /proc tells it (`T` stopped, `Z` not waited for yet); `gone` when there is no such process. */
export function stateOf(pid: number | string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.[0] ?? 'gone';
  } catch {
    return 'gone';
  }
}
