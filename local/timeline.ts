import type { ClaimTimings } from '@warmpool/protocol/claim-api.ts';
import type { ColdStart } from './cold-start/cold-start.ts';

const WIDTH = 36;

/** One claim in phases, each drawn where it happened, with the cold start of the same function below on the same scale. */
export function timeline(timings: ClaimTimings, firstResponseMs: number, cold: ColdStart | undefined): string[] {
  const total = timings.totalMs + firstResponseMs;
  const scaleMs = Math.max(total, cold?.firstResponseMs ?? 0);
  const { queueMs, pickMs, fetchMs, unpackMs, mountMs, loadMs, importMs, writeMs } = timings;
  const loadFromMs = queueMs + pickMs + fetchMs + unpackMs + mountMs;
  const rows: [string, number, number, string?][] = [
    ['queue', 0, queueMs],
    ['pick', queueMs, pickMs],
    ['write', queueMs + pickMs, writeMs, 'in parallel with what follows'],
    ['fetch', queueMs + pickMs, fetchMs],
    ['unpack', queueMs + pickMs + fetchMs, unpackMs],
    ['mount', queueMs + pickMs + fetchMs + unpackMs, mountMs],
    ['load', loadFromMs, loadMs],
    ['  import', loadFromMs + loadMs - importMs, importMs, "the user's own code, part of load"],
    ['first response', timings.totalMs, firstResponseMs],
  ];
  const lines = rows.map(([name, fromMs, ms, note]) => line(name, fromMs, ms, scaleMs, note));
  lines.push(line('claim to answer', 0, total, scaleMs));
  if (cold !== undefined)
    lines.push(
      line(
        'started cold',
        0,
        cold.firstResponseMs,
        scaleMs,
        `${(cold.firstResponseMs / total).toFixed(1)} times as long; its import ${cold.importMs.toFixed(1)} ms`,
      ),
    );
  return lines;
}

function line(name: string, fromMs: number, ms: number, scaleMs: number, note = ''): string {
  const from = Math.min(WIDTH - 1, Math.max(0, Math.round((fromMs / scaleMs) * WIDTH)));
  const length = Math.min(WIDTH - from, Math.max(ms > 0 ? 1 : 0, Math.round((ms / scaleMs) * WIDTH)));
  const bar = `${' '.repeat(from)}${'█'.repeat(length)}`.padEnd(WIDTH);
  return `    ${name.padEnd(15)} ${bar} ${ms.toFixed(2).padStart(8)} ms  ${note}`.trimEnd();
}
