import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { CSI_DRIVER } from '@warmpool/protocol/names.ts';
import { loadProtos } from './load-protos.ts';
import type { ServicesDeps } from './services.ts';
import { identityService, nodeService, registrationService } from './services.ts';

const MAX_MESSAGE_BYTES = 1024 * 1024;
const DRAIN_MS = 5_000;

export interface NodePluginOptions {
  /** By the same path here and for the kubelet. */
  csiSocket: string;
  registrationDir: string;
}

/** The CSI services on their socket, and then the socket by which the kubelet finds them. */
export class NodePlugin {
  readonly #servers: Server[];
  readonly #registrationSocket: string;

  private constructor(servers: Server[], registrationSocket: string) {
    this.#servers = servers;
    this.#registrationSocket = registrationSocket;
  }

  static async start(deps: ServicesDeps & { log: Logger }, options: NodePluginOptions): Promise<NodePlugin> {
    const { csiSocket, registrationDir } = options;
    const protos = loadProtos();
    const onRegistered = (): void => deps.log.info({ driver: CSI_DRIVER }, 'registered with the kubelet');
    const registrationSocket = join(registrationDir, `${CSI_DRIVER}-reg.sock`);
    const csi = await serve(csiSocket, [
      [protos.identity.service, identityService(deps)],
      [protos.node.service, nodeService(deps)],
    ]);
    const registration = await serve(registrationSocket, [
      [protos.registration.service, registrationService(deps, csiSocket, onRegistered)],
    ]);
    return new NodePlugin([registration, csi], registrationSocket);
  }

  /** Ends what is under way. Without its socket the kubelet knows that the driver is gone, and waits for the next one. */
  async close(): Promise<void> {
    await rm(this.#registrationSocket, { force: true });
    await Promise.all(this.#servers.map(endServer));
  }
}

async function serve(socket: string, services: [ServiceDefinition, UntypedServiceImplementation][]): Promise<Server> {
  const server = new Server({ 'grpc.max_receive_message_length': MAX_MESSAGE_BYTES });
  for (const [definition, implementation] of services) server.addService(definition, implementation);
  await mkdir(dirname(socket), { recursive: true });
  // of a process that was killed
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null
        ? resolve()
        : reject(new Error(`cannot serve gRPC on ${socket}: ${error.message}`, { cause: error })),
    );
  });
  // whoever can connect can have volumes made and taken away
  await chmod(socket, 0o600);
  return server;
}

async function endServer(server: Server): Promise<void> {
  const timer = setTimeout(() => server.forceShutdown(), DRAIN_MS);
  await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  clearTimeout(timer);
}
