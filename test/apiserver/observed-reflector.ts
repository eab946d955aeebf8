import { SECRETS, type Secret } from '../../operator/core/resources.ts';
import { systemClock } from '../../operator/engine/clock.ts';
import { Reflector } from '../../operator/engine/reflector.ts';
import { ObjectStore } from '../../operator/engine/store.ts';
import { tokenKubeConfig } from '../../operator/kube/config.ts';
import { HttpKubeClient } from '../../operator/kube/http-kube-client.ts';
import { AdminApi } from './admin-api.ts';
import { apiserverClient } from './apiserver-world.ts';
import type { ControlPlaneAccess } from './control-plane.ts';
import { fastClock } from './fast-clock.ts';
import { FaultProxy } from './fault-proxy.ts';

export interface ObservedReflectorOptions {
  /** How much faster than real time the reflector's clock goes. */
  clockSpeed?: number;
  stallMs: number;
  pageSize: number;
}

/** A reflector behind a proxy that breaks things, beside a client that goes straight to the apiserver and knows the truth. */
export class ObservedReflector implements AsyncDisposable {
  readonly proxy: FaultProxy;
  readonly direct: HttpKubeClient;
  readonly namespace: string;
  /** What listeners were told: `+name`, `~name`, `-name`. */
  readonly changes: string[] = [];
  readonly reports: string[] = [];
  readonly #throughProxy: HttpKubeClient;
  readonly #store: ObjectStore<Secret>;
  readonly #reflector: Reflector<Secret>;
  readonly #controller = new AbortController();
  #run: Promise<void> | undefined;
  #wrong: unknown;

  private constructor(
    parts: { proxy: FaultProxy; direct: HttpKubeClient; throughProxy: HttpKubeClient; namespace: string },
    options: ObservedReflectorOptions,
  ) {
    this.proxy = parts.proxy;
    this.direct = parts.direct;
    this.namespace = parts.namespace;
    this.#throughProxy = parts.throughProxy;
    this.#store = new ObjectStore<Secret>({ onError: (error) => (this.#wrong = error) });
    this.#keepAccount();
    this.#reflector = new Reflector<Secret>(
      {
        client: parts.throughProxy,
        clock: fastClock(options.clockSpeed ?? 1),
        random: Math.random,
        store: this.#store,
        report: (event) => this.reports.push(event.type),
      },
      { resource: SECRETS, namespace: parts.namespace, stallMs: options.stallMs, pageSize: options.pageSize },
    );
  }

  static async prepare(access: ControlPlaneAccess, options: ObservedReflectorOptions): Promise<ObservedReflector> {
    await using admin = new AdminApi(access);
    const namespace = await admin.newNamespace();
    const proxy = await FaultProxy.start(access);
    return new ObservedReflector(
      { proxy, direct: apiserverClient(access), throughProxy: clientOf(proxy, access), namespace },
      options,
    );
  }

  get listCount(): number {
    return this.reports.filter((type) => type === 'listed').length;
  }

  start(): void {
    this.#run = this.#reflector.run(this.#controller.signal);
  }

  /** Until the store holds, version for version, what the apiserver holds now. */
  async converged(limitMs = 20_000): Promise<void> {
    const { items } = await this.direct.list<Secret>(SECRETS, this.namespace);
    const truth = versionsOf(items);
    const deadline = Date.now() + limitMs;
    while (versionsOf(this.#store.list()) !== truth) {
      if (Date.now() > deadline) {
        throw new Error(
          `after ${limitMs} ms the store holds ${versionsOf(this.#store.list())}, the apiserver ${truth}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (this.#wrong !== undefined) throw this.#wrong;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#run;
    await this.#throughProxy.close();
    await this.direct.close();
    await this.proxy[Symbol.asyncDispose]();
  }

  /** Changes have to follow from each other: each starts where the one before it on the same object ended. */
  #keepAccount(): void {
    const account = new Map<string, string>();
    this.#store.onChange((old, next) => {
      const name = (next ?? old)?.metadata.name ?? '';
      if (account.get(name) !== old?.metadata.resourceVersion) {
        throw new Error(
          `${name} changed from ${old?.metadata.resourceVersion}, but ${account.get(name)} was told last`,
        );
      }
      if (next) account.set(name, next.metadata.resourceVersion);
      else account.delete(name);
      this.changes.push(`${old ? (next ? '~' : '-') : '+'}${name}`);
    });
  }
}

function clientOf(proxy: FaultProxy, { token }: ControlPlaneAccess): HttpKubeClient {
  const loadConfig = (): ReturnType<typeof tokenKubeConfig> => tokenKubeConfig({ url: proxy.url, token });
  return new HttpKubeClient({ clock: systemClock, random: Math.random, loadConfig });
}

function versionsOf(secrets: readonly Secret[]): string {
  return secrets
    .map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`)
    .sort()
    .join(' ');
}
