import { callbackify } from 'node:util';
import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import type { z } from 'zod';
import type { VolumeFault } from '../volumes/volume-error.ts';
import { VolumeError } from '../volumes/volume-error.ts';

const STATUS_OF_FAULT: Readonly<Record<VolumeFault, status>> = {
  conflict: status.ALREADY_EXISTS,
  notReady: status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
  failed: status.INTERNAL,
};

/** One RPC: its request checked, its answer or the right status given. Requests are never logged: a kubelet may put secrets in them. */
export function rpc<Request, Reply>(
  schema: z.ZodType<Request>,
  handle: (request: Request) => Reply | Promise<Reply>,
  onProblem: (error: unknown) => void,
): handleUnaryCall<unknown, Reply> {
  const answer = callbackify(async (request: unknown): Promise<Reply> => {
    try {
      return await handle(parse(schema, request));
    } catch (error) {
      const said = asServiceError(error);
      if (said.code === status.INTERNAL) onProblem(error);
      throw said;
    }
  });
  return ({ request }, callback) => {
    answer(request, (error, reply) => callback(error as unknown as ServiceError | null, reply));
  };
}

/** Each sentence begins with the field's name in the protocol. */
function parse<T>(schema: z.ZodType<T>, request: unknown): T {
  const { data, error } = schema.safeParse(request);
  if (error === undefined) return data;
  const sentences = error.issues.map(({ path, message }) => `${path.join('.') || 'the request'} ${message}`);
  throw serviceError(status.INVALID_ARGUMENT, sentences.join('; '));
}

function asServiceError(error: unknown): ServiceError {
  if (error instanceof VolumeError) return serviceError(STATUS_OF_FAULT[error.fault], error.message);
  if (error instanceof Error && 'code' in error && 'details' in error) return error as ServiceError;
  return serviceError(status.INTERNAL, 'the host-agent failed; its log says why');
}

function serviceError(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}
