import type { Client, ServiceError } from '@grpc/grpc-js';
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

/** What a kubelet does to a CSI driver, with its folders. */
export class KubeletCalls {
  readonly dir: string;
  readonly #clients: Record<'identity' | 'node' | 'registration', Client>;

  constructor(dir: string, sockets: { csi: string; registration: string }) {
    this.dir = dir;
    const protos = loadProtos();
    const secret = credentials.createInsecure();
    this.#clients = {
      identity: new protos.identity(`unix:${sockets.csi}`, secret),
      node: new protos.node(`unix:${sockets.csi}`, secret),
      registration: new protos.registration(`unix:${sockets.registration}`, secret),
    };
  }

  call(service: 'identity' | 'node' | 'registration', method: string, request: Message = {}): Promise<Message> {
    const client = this.#clients[service] as unknown as Record<
      string,
      (request: Message, options: object, callback: (error: ServiceError | null, reply: Message) => void) => void
    >;
    return new Promise((resolve, reject) => {
      client[method]?.(request, { deadline: Date.now() + CALL_LIMIT_MS }, (error, reply) => {
        if (error === null) resolve(reply);
        else reject(new RpcFailed(error));
      });
    });
  }

  /** Bytes that no client library would send. */
  callRaw(service: 'identity' | 'node' | 'registration', method: string, bytes: Buffer): Promise<Buffer> {
    const name = { identity: 'csi.v1.Identity', node: 'csi.v1.Node', registration: 'pluginregistration.Registration' };
    const asIs = (value: Buffer): Buffer => value;
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + CALL_LIMIT_MS };
      const path = `/${name[service]}/${method}`;
      this.#clients[service].makeUnaryRequest(path, asIs, asIs, bytes, options, (error, reply = Buffer.alloc(0)) => {
        if (error === null) resolve(reply);
        else reject(new RpcFailed(error));
      });
    });
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

  close(): void {
    for (const client of Object.values(this.#clients)) client.close();
  }
}
