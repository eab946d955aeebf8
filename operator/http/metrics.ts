import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { ClaimSample } from '../claims/claim-service.ts';
import { ENGINE_METRICS, type EngineMetric, type Metrics } from '../engine/metrics.ts';
import type { Operator } from '../operator.ts';

const CLAIM_BUCKETS_SECONDS = [0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const PHASES = ['queue', 'pick', 'write', 'fetch', 'unpack', 'mount', 'load', 'import', 'total'] as const;

/** Everything that the operator tells Prometheus, in one place. Labels hold pools and outcomes, never pods or claims. */
export class OperatorMetrics implements Metrics {
  readonly registry = new Registry();
  readonly #engine = new Map<EngineMetric, Counter | Gauge | Histogram>();
  readonly #claims: Counter;
  readonly #phases: Histogram;
  readonly #kubeRequests: Histogram;
  readonly #prefetched: Counter;

  constructor(version: string) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    for (const [name, { type, labels, help }] of Object.entries(ENGINE_METRICS)) {
      const config = { name, help, labelNames: [...labels], registers };
      const metric =
        type === 'counter' ? new Counter(config) : type === 'gauge' ? new Gauge(config) : new Histogram(config);
      this.#engine.set(name as EngineMetric, metric);
    }
    this.#claims = new Counter({
      name: 'warmpool_claims_total',
      help: 'Claims by pool and outcome: standby, reused, cold, user-error, empty, error, abandoned.',
      labelNames: ['pool', 'outcome'],
      registers,
    });
    this.#phases = new Histogram({
      name: 'warmpool_claim_duration_seconds',
      help: 'Time of each phase of a claim that became ready; phase total is the whole.',
      labelNames: ['pool', 'phase'],
      buckets: CLAIM_BUCKETS_SECONDS,
      registers,
    });
    this.#kubeRequests = new Histogram({
      name: 'rest_client_request_duration_seconds',
      help: 'Calls to the apiserver by verb, resource and status.',
      labelNames: ['verb', 'resource', 'code'],
      registers,
    });
    this.#prefetched = new Counter({
      name: 'warmpool_prefetched_nodes_total',
      help: 'Nodes that were told to bring code, by whether they have it: cached, failed.',
      labelNames: ['outcome'],
      registers,
    });
    new Gauge({ name: 'warmpool_build_info', help: 'Always 1.', labelNames: ['version'], registers }).set(
      { version },
      1,
    );
  }

  add(name: EngineMetric, labels: Record<string, string>, by = 1): void {
    const metric = this.#engine.get(name);
    if (metric instanceof Counter) metric.inc(labels, by);
  }

  set(name: EngineMetric, labels: Record<string, string>, value: number): void {
    const metric = this.#engine.get(name);
    if (metric instanceof Gauge) metric.set(labels, value);
  }

  observe(name: EngineMetric, labels: Record<string, string>, value: number): void {
    const metric = this.#engine.get(name);
    if (metric instanceof Histogram) metric.observe(labels, value);
  }

  observeClaim = ({ pool, outcome, timings }: ClaimSample): void => {
    this.#claims.inc({ pool, outcome });
    if (timings === undefined) return;
    for (const phase of PHASES) this.#phases.observe({ pool, phase }, timings[`${phase}Ms`] / 1000);
  };

  observePrefetched = (outcome: 'cached' | 'failed'): void => this.#prefetched.inc({ outcome });

  observeKubeCall = (call: { method: string; resource: string; status: number; seconds: number }): void => {
    this.#kubeRequests.observe({ verb: call.method, resource: call.resource, code: String(call.status) }, call.seconds);
  };

  /** Gauges that are read when somebody asks. */
  follow(operator: Operator): void {
    const registers = [this.registry];
    const prefetches: Gauge = new Gauge({
      name: 'warmpool_prefetches_running',
      help: 'Prefetches with nodes that are still to have the code.',
      registers,
      collect: () => prefetches.set(operator.prefetches.running),
    });
    const instances = new Gauge({
      name: 'warmpool_instances',
      help: 'Pods by pool and state: standby (a claim can take it now), claimed, queued (claims that wait).',
      labelNames: ['pool', 'state'],
      registers,
      collect: () => {
        instances.reset();
        if (!operator.isServing) return;
        for (const pool of operator.queries.pools()) {
          const key = `${pool.namespace}/${pool.name}`;
          instances.set({ pool: key, state: 'standby' }, pool.readyReplicas);
          instances.set({ pool: key, state: 'claimed' }, pool.claimedReplicas);
          instances.set({ pool: key, state: 'queued' }, pool.queuedClaims);
        }
      },
    });
  }
}
