import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;

/** Random bytes as hex, drawn from the system many at a time: each single draw costs more than a claim can spare. */
export function pooledRandomHex(): (bytes: number) => string {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return (bytes) => {
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    const hex = pool.toString('hex', used, used + bytes);
    pool.fill(0, used, used + bytes);
    used += bytes;
    return hex;
  };
}
