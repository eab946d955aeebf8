import { fileURLToPath } from 'node:url';
import type { GrpcObject, ServiceClientConstructor } from '@grpc/grpc-js';
import { loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const CSI = fileURLToPath(new URL('proto/csi.proto', import.meta.url));
const REGISTRATION = fileURLToPath(new URL('proto/plugin-registration.proto', import.meta.url));

/** The services as gRPC knows them; their messages are plain objects with the names of the protocol files and every default filled in. */
export function loadProtos(): Record<'identity' | 'node' | 'registration', ServiceClientConstructor> {
  const loaded = loadPackageDefinition(
    loadSync([CSI, REGISTRATION], { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }),
  );
  const csi = loaded['csi'] as Record<'v1', GrpcObject>;
  const registration = loaded['pluginregistration'] as GrpcObject;
  return {
    identity: csi.v1['Identity'] as ServiceClientConstructor,
    node: csi.v1['Node'] as ServiceClientConstructor,
    registration: registration['Registration'] as ServiceClientConstructor,
  };
}
