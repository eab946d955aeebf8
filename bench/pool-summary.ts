import { poolListSchema, type PoolSummary } from '@warmpool/protocol/claim-api.ts';
import { request } from 'undici';

/** What the claim API says about a pool: what a claim would find, at this moment. */
export async function poolNamed(name: string, url: string, headers: Record<string, string> = {}): Promise<PoolSummary> {
  const { statusCode, body } = await request(`${url}/v1/pools`, { headers });
  const answer: unknown = await body.json();
  if (statusCode !== 200) throw new Error(`the list of pools was refused: ${JSON.stringify(answer)}`);
  const pool = poolListSchema.parse(answer).items.find((each) => each.name === name);
  if (pool === undefined) throw new Error('the pool of the benchmark is gone');
  return pool;
}
