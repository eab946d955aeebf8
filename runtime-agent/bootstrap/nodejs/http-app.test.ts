import { expect, it } from 'vitest';
import { isReachable } from './http-app.mjs';

it.each([
  ['0.0.0.0', '127.0.0.1', true],
  ['::', '10.0.0.7', true],
  ['127.0.0.1', '127.0.0.1', true],
  ['10.0.0.7', '10.0.0.7', true],
  ['127.0.0.1', '10.0.0.7', false],
  ['127.0.0.1', '0.0.0.0', false],
  ['10.0.0.7', '0.0.0.0', true],
  ['::1', 'localhost', true],
])('an app bound to %s gets what is sent to %s: %s', (address, host, isServed) => {
  expect(isReachable({ address, family: 'IPv4', port: 80 }, host)).toBe(isServed);
});
