import {
  KubeError,
  type KubeClient,
  type KubeObject,
  type ListOptions,
  type ListResult,
  type Stored,
  type WatchEvent,
  type WatchOptions,
} from '../kube-client.ts';

type AnyObject = Stored<KubeObject>;
type AnyEvent = WatchEvent<KubeObject>;

/** A client whose every answer the test gives: lists by a function, watches by pushing events into them. */
export class ScriptedClient implements KubeClient {
  readonly lists: ListOptions[] = [];
  readonly watches: ScriptedWatch[] = [];
  answerList: (options: ListOptions, call: number) => ListResult<KubeObject> | Promise<ListResult<KubeObject>> =
    () => ({
      items: [],
      resourceVersion: '1',
    });
  answerWatch: (watch: ScriptedWatch, call: number) => void = () => undefined;
  answerCreate: (object: KubeObject) => Promise<AnyObject> = (object) => Promise.resolve(object as AnyObject);
  readonly created: KubeObject[] = [];

  get lastWatch(): ScriptedWatch {
    const watch = this.watches.at(-1);
    if (!watch) throw new Error('nothing was watched yet');
    return watch;
  }

  async list<T extends KubeObject>(_: unknown, __: unknown, options: ListOptions = {}): Promise<ListResult<T>> {
    this.lists.push(options);
    return (await this.answerList(options, this.lists.length)) as ListResult<T>;
  }

  watch<T extends KubeObject>(_: unknown, __: unknown, options: WatchOptions): AsyncIterable<WatchEvent<T>> {
    const watch = new ScriptedWatch(options);
    this.watches.push(watch);
    this.answerWatch(watch, this.watches.length);
    return watch as AsyncIterable<WatchEvent<T>>;
  }

  async create<T extends KubeObject>(_: unknown, __: unknown, object: T): Promise<Stored<T>> {
    this.created.push(object);
    return (await this.answerCreate(object)) as Stored<T>;
  }

  get(): Promise<never> {
    return notScripted();
  }
  patch(): Promise<never> {
    return notScripted();
  }
  patchStatus(): Promise<never> {
    return notScripted();
  }
  patchResize(): Promise<never> {
    return notScripted();
  }
  delete(): Promise<never> {
    return notScripted();
  }
}

export class ScriptedWatch implements AsyncIterable<AnyEvent> {
  readonly options: WatchOptions;
  readonly #waiting: { resolve: (result: IteratorResult<AnyEvent>) => void; reject: (error: Error) => void }[] = [];
  readonly #queued: (() => Promise<IteratorResult<AnyEvent>>)[] = [];
  isReturned = false;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  push(event: AnyEvent): void {
    this.#deliver(async () => ({ done: false, value: event }));
  }

  close(): void {
    this.#deliver(async () => ({ done: true, value: undefined }));
  }

  fail(error: Error): void {
    this.#deliver(async () => {
      throw error;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<AnyEvent> {
    return {
      next: () => {
        const queued = this.#queued.shift();
        if (queued) return queued();
        return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
      },
      return: () => {
        this.isReturned = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #deliver(result: () => Promise<IteratorResult<AnyEvent>>): void {
    const waiting = this.#waiting.shift();
    if (waiting) result().then(waiting.resolve, waiting.reject);
    else this.#queued.push(result);
  }
}

export function networkError(): KubeError {
  return new KubeError(0, 'Network', 'the connection was reset');
}

export function expiredError(): KubeError {
  return new KubeError(410, 'Expired', 'too old resource version');
}

export function anObject(name: string, resourceVersion: string, more: Partial<KubeObject['metadata']> = {}): AnyObject {
  return {
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...more,
    },
  };
}

function notScripted(): Promise<never> {
  return Promise.reject(new Error('this call was not expected'));
}
