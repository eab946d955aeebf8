import { it } from 'vitest';
import { aNodePool, LocalWorld } from '../support/local-world.ts';
it('x', async () => {
  const t = performance.now();
  const w = await LocalWorld.start([aNodePool(3), aNodePool(20, 'burst')]);
  console.error('start', performance.now() - t);
  const c = w.claimFor({ 'index.js': 'exports.handler=()=>1' });
  console.error((await w.tryClaim('nodejs', c)).status);
  const t2 = performance.now();
  await w.stop();
  console.error('stop', performance.now() - t2);
});
