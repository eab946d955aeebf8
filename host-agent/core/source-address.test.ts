import { expect, test } from 'vitest';
import { isNodeLocalAddress } from './source-address.ts';

test.each([
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '169.254.169.254',
  '::1',
  '::',
  'fe80::1',
  '::ffff:127.0.0.1',
  'nonsense',
])('%s is held to be the node itself', (address) => {
  expect(isNodeLocalAddress(address)).toBe(true);
});

test.each(['10.0.0.1', '93.184.216.34', '2606:2800::1', '::ffff:10.0.0.1'])('%s may be a source', (address) => {
  expect(isNodeLocalAddress(address)).toBe(false);
});
