import { expect } from 'vitest';
import { isKubeError, type KubeClient, type KubeError } from '../../../operator/engine/kube-client.ts';

/** One implementation of the port, with what the suite needs to know of what is behind it. */
export interface ContractWorld {
  client: KubeClient;
  /** Two namespaces that exist, and that no other test uses. */
  namespace: string;
  otherNamespace: string;
  /** A version so old that no watch can start from it any more. */
  forgottenVersion: () => Promise<string>;
  /** Makes the continue tokens handed out so far expire. */
  expireContinueTokens: () => Promise<void>;
  close: () => Promise<void>;
}

/** Each test gets one of its own. */
export type MakeWorld = () => Promise<ContractWorld>;

export async function refusal(call: Promise<unknown>): Promise<KubeError> {
  const outcome = await call.then(
    () => new Error('the call went through'),
    (error: unknown) => error,
  );
  if (isKubeError(outcome)) return outcome;
  throw outcome;
}

export async function expectRefusal(call: Promise<unknown>, status: number, reason: string): Promise<KubeError> {
  const error = await refusal(call);
  expect({ status: error.status, reason: error.reason, message: error.message }).toMatchObject({ status, reason });
  return error;
}
