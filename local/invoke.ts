import { request } from 'undici';
import type { FunctionFile } from './packing/function-file.ts';

export interface Answer {
  status: number;
  text: string;
}

const LIMIT_MS = 30_000;

/** Sends the example's own request to an instance. Rejects when nobody answers. */
export async function invokeOnce(baseUrl: string, invoke: FunctionFile['invoke']): Promise<Answer> {
  const { statusCode, body } = await request(`${baseUrl}${invoke.path}`, {
    method: invoke.method,
    signal: AbortSignal.timeout(LIMIT_MS),
    ...(invoke.body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(invoke.body),
    }),
  });
  return { status: statusCode, text: await body.text() };
}

/** What is wrong with the answer, or `undefined`. */
export function unexpected(answer: Answer, expect: FunctionFile['invoke']['expect']): string | undefined {
  if (answer.status !== expect.status)
    return `it answered ${answer.status} instead of ${expect.status}: ${answer.text.slice(0, 300)}`;
  if (!answer.text.includes(expect.contains))
    return `its answer does not contain ${JSON.stringify(expect.contains)}: ${answer.text.slice(0, 300)}`;
  return undefined;
}
