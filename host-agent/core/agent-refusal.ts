import { z } from 'zod';
import type { LoadErrorCode } from '@warmpool/protocol/host-agent-api.ts';
import { LOAD_ERROR_CODES } from '@warmpool/protocol/host-agent-api.ts';
import { HostAgentError, hostError } from '../errors.ts';

const refusalSchema = z.looseObject({
  code: z.string().default(''),
  message: z.string().default(''),
  phase: z.string().optional(),
  stack: z.string().optional(),
});

/** What a runtime may call by status alone, when its code is not one of ours (a user's own runtime-agent). */
const CODE_BY_STATUS: Readonly<Record<number, LoadErrorCode>> = {
  409: 'PodNotStandby',
  412: 'RuntimeMismatch',
  422: 'UserCodeError',
  504: 'InitTimeout',
};

/** Codes that only this program can know about; an agent that answers with one must not be believed. */
const NOT_AN_AGENTS: ReadonlySet<string> = new Set<LoadErrorCode>([
  'BadGrant',
  'PodUnknown',
  'DigestMismatch',
  'ObjectNotFound',
  'BadArchive',
  'ArchiveTooLarge',
  'SourceNotAllowed',
  'StoreUnreachable',
  'StoreRefused',
  'CredentialsMissing',
  'CredentialsUnavailable',
  'CacheFull',
  'SidecarFailed',
  'Draining',
]);

/** The error for a load that the runtime-agent answered with anything but 200. */
export function agentRefusal(podUid: string, statusCode: number, body: unknown): HostAgentError {
  const { code, message, phase, stack } = refusalSchema.catch({ code: '', message: '' }).parse(body);
  const ours = code in LOAD_ERROR_CODES && !NOT_AN_AGENTS.has(code) ? (code as LoadErrorCode) : undefined;
  const known = ours ?? CODE_BY_STATUS[statusCode];
  if (known === undefined) {
    return hostError.podLost(podUid, `its agent answered the load with ${statusCode} ${code} ${message}`.trimEnd());
  }
  return new HostAgentError(known, message || `pod ${podUid} refused the load with status ${statusCode}`, {
    ...(phase === undefined ? {} : { phase }),
    ...(stack === undefined ? {} : { userStack: stack }),
  });
}

/** After these the process has run the user's code, or cannot be trusted to be as it was. */
export function leavesPodUnusable(code: string): boolean {
  return code !== 'RuntimeMismatch' && code !== 'PodNotStandby';
}
