import type { MethodDefinition, ServiceError } from '@grpc/grpc-js';
import { credentials, status } from '@grpc/grpc-js';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadProtos } from '../csi/load-protos.ts';

type Message = Record<string, unknown>;
const CALL_LIMIT_MS = 10_000;

export class RpcFailed extends Error {
  readonly code: string;

  constructor({ code, details }: ServiceError) {
    super(`${status[code]}: ${details}`);
    this.code = status[code];
  }
}

type Sent<Request, Reply> = Pick<MethodDefinition<Request, Reply>, 'path' | 'requestSerialize' | 'responseDeserialize'>;
type CsiService = 'identity' | 'node' | 'registration';

/** What a kubelet does to a CSI driver, with its folders: over a new connection for each call. */
export class KubeletCalls {
  readonly dir: string;
  readonly #protos = loadProtos();
  readonly #sockets: { csi: string; registration: string };

  constructor(dir: string, sockets: { csi: string; registration: string }) {
    this.dir = dir;
    this.#sockets = sockets;
  }

  call(service: CsiService, method: string, request: Message = {}): Promise<Message> {
    const definition = this.#method(service, method) as MethodDefinition<Message, Message>;
    return this.#send(service, definition, request);
  }

  /** Bytes that no client library would send. */
  callRaw(service: CsiService, method: string, bytes: Buffer): Promise<Buffer> {
    const asIs = (value: Buffer): Buffer => value;
    const { path } = this.#method(service, method);
    return this.#send(service, { path, requestSerialize: asIs, responseDeserialize: asIs }, bytes);
  }

  #method(service: CsiService, method: string): MethodDefinition<unknown, unknown> {
    const definition = this.#protos[service].service[method];
    if (definition === undefined) throw new Error(`the protocol has no ${service} ${method}`);
    return definition;
  }

  async #send<Request, Reply>(
    service: CsiService,
    { path, requestSerialize, responseDeserialize }: Sent<Request, Reply>,
    request: Request,
  ): Promise<Reply> {
    const socket = service === 'registration' ? this.#sockets.registration : this.#sockets.csi;
    const client = new this.#protos[service](`unix:${socket}`, credentials.createInsecure());
    const options = { deadline: Date.now() + CALL_LIMIT_MS };
    try {
      return await new Promise<Reply>((resolve, reject) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (error, reply) => {
          if (error === null && reply !== undefined) resolve(reply);
          else reject(error === null ? new Error('there was no answer') : new RpcFailed(error));
        });
      });
    } finally {
      client.close();
    }
  }

  target(podUid: string): string {
    return join(this.dir, 'pods', podUid, 'volumes/kubernetes.io~csi/warmpool/mount');
  }

  publishRequest(podUid: string): Message {
    return {
      volume_id: `csi-${podUid}`,
      target_path: this.target(podUid),
      volume_capability: { mount: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
      volume_context: {
        'csi.storage.k8s.io/ephemeral': 'true',
        'csi.storage.k8s.io/pod.uid': podUid,
        'csi.storage.k8s.io/pod.name': `name-of-${podUid}`,
        'csi.storage.k8s.io/pod.namespace': 'default',
        'csi.storage.k8s.io/serviceAccount.name': 'default',
      },
    };
  }

  async publish(podUid: string): Promise<void> {
    mkdirSync(join(this.target(podUid), '..'), { recursive: true });
    await this.call('node', 'NodePublishVolume', this.publishRequest(podUid));
  }

  async unpublish(podUid: string): Promise<void> {
    await this.call('node', 'NodeUnpublishVolume', { volume_id: `csi-${podUid}`, target_path: this.target(podUid) });
  }

  hasPod(podUid: string): boolean {
    return existsSync(join(this.dir, 'pods', podUid));
  }

  forgetPod(podUid: string): void {
    rmSync(join(this.dir, 'pods', podUid), { recursive: true, force: true });
  }
}
