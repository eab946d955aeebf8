import type { AdminApi } from '../admin-api.ts';

/** Calls that the apiserver has answered, by `VERB resource` or `VERB resource/subresource`, as it counts them itself. */
export type ApiCalls = ReadonlyMap<string, number>;

export async function countApiCalls(admin: AdminApi): Promise<ApiCalls> {
  const { status, body } = await admin.send('GET', '/metrics');
  if (status !== 200) throw new Error(`the apiserver refused its metrics with ${status}`);
  const counts = new Map<string, number>();
  for (const line of String(body['message']).split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue;
    const label = (name: string): string => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
    const subresource = label('subresource');
    const call = `${label('verb')} ${label('resource')}${subresource === '' ? '' : `/${subresource}`}`;
    counts.set(call, (counts.get(call) ?? 0) + Number(line.slice(line.lastIndexOf(' '))));
  }
  return counts;
}

/** What was called in between, and how often. */
export function callsBetween(before: ApiCalls, after: ApiCalls): Record<string, number> {
  const calls = [...after].map(([call, count]) => [call, count - (before.get(call) ?? 0)] as const);
  return Object.fromEntries(calls.filter(([, count]) => count > 0));
}
