/**
 * What the engine measures, under the names that controller-runtime and client-go dashboards know. An adapter registers this table
 * with its metrics library and hands in a {@link Metrics}; seconds and base units throughout.
 */
export const ENGINE_METRICS = {
  controller_runtime_reconcile_total: {
    type: 'counter',
    labels: ['controller', 'result'],
    help: 'Reconciliations per controller, by result: success, requeue_after, error, terminal_error.',
  },
  controller_runtime_reconcile_errors_total: {
    type: 'counter',
    labels: ['controller'],
    help: 'Reconciliations that failed, write conflicts included.',
  },
  controller_runtime_terminal_reconcile_errors_total: {
    type: 'counter',
    labels: ['controller'],
    help: 'Reconciliations that failed in a way that trying again cannot mend.',
  },
  controller_runtime_reconcile_time_seconds: {
    type: 'histogram',
    labels: ['controller'],
    help: 'Length of a reconciliation.',
  },
  controller_runtime_active_workers: {
    type: 'gauge',
    labels: ['controller'],
    help: 'Reconciliations running now.',
  },
  controller_runtime_max_concurrent_reconciles: {
    type: 'gauge',
    labels: ['controller'],
    help: 'Reconciliations that may run at once.',
  },
  workqueue_depth: { type: 'gauge', labels: ['name'], help: 'Keys waiting in the work queue.' },
  workqueue_adds_total: { type: 'counter', labels: ['name'], help: 'Keys added to the work queue.' },
  workqueue_retries_total: { type: 'counter', labels: ['name'], help: 'Keys added again after a failure.' },
  workqueue_queue_duration_seconds: {
    type: 'histogram',
    labels: ['name'],
    help: 'How long a key waited before its work began.',
  },
  workqueue_work_duration_seconds: { type: 'histogram', labels: ['name'], help: 'How long the work on a key took.' },
  leader_election_master_status: {
    type: 'gauge',
    labels: ['name'],
    help: '1 while this process holds the lease, else 0.',
  },
  warmpool_events_dropped_total: {
    type: 'counter',
    labels: ['cause'],
    help: 'Kubernetes events not written: rate_limited or failed.',
  },
} as const satisfies Record<string, MetricDefinition>;

export interface MetricDefinition {
  type: 'counter' | 'gauge' | 'histogram';
  labels: readonly string[];
  help: string;
}
export type EngineMetric = keyof typeof ENGINE_METRICS;
export type MetricLabels = Record<string, string>;

/** Must not throw. */
export interface Metrics {
  /** Counters. */
  add(name: EngineMetric, labels: MetricLabels, by?: number): void;
  /** Gauges. */
  set(name: EngineMetric, labels: MetricLabels, value: number): void;
  /** Histograms. */
  observe(name: EngineMetric, labels: MetricLabels, value: number): void;
}

export const noMetrics: Metrics = { add: () => undefined, set: () => undefined, observe: () => undefined };
