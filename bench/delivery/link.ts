import { ObjectServer } from '@warmpool/host-agent/testing/object-server.ts';
import { shapedPort } from '@warmpool/host-agent/testing/shaped-link.ts';

/** The store at the far end of the link: a process of its own, so that its work is not done in a contender's. */
const [folder = '', roundTripMs = '20', bytesPerSecond = '50000000'] = process.argv.slice(2);
const store = new ObjectServer();
store.folder = folder;
const link = await shapedPort(store.server, {
  roundTripMs: Number(roundTripMs),
  bytesPerSecond: Number(bytesPerSecond),
});
process.on('message', () => {
  link.hangUp();
  process.send?.('done');
});
process.once('disconnect', () => process.exit(0));
process.send?.(link.port);
