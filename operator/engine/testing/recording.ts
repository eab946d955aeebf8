import type { Log } from '../log.ts';
import type { EngineMetric, MetricLabels, Metrics } from '../metrics.ts';

export interface RecordedLine {
  level: keyof Log;
  fields: object;
  message: string;
}

export class RecordingLog implements Log {
  readonly lines: RecordedLine[] = [];

  debug(fields: object, message: string): void {
    this.lines.push({ level: 'debug', fields, message });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: 'info', fields, message });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }
}

/** Values by `name{label="value"}`; of a histogram, how many observations. */
export class RecordingMetrics implements Metrics {
  readonly values = new Map<string, number>();

  add(name: EngineMetric, labels: MetricLabels, by = 1): void {
    this.values.set(series(name, labels), (this.values.get(series(name, labels)) ?? 0) + by);
  }
  set(name: EngineMetric, labels: MetricLabels, value: number): void {
    this.values.set(series(name, labels), value);
  }
  observe(name: EngineMetric, labels: MetricLabels): void {
    this.add(name, labels);
  }
}

function series(name: string, labels: MetricLabels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return `${name}{${pairs.join(',')}}`;
}
