import { expect, test } from 'vitest';
import { errorFromAnswer } from './status-error.ts';

test('a Status body gives its reason, message and time to stay away', () => {
  const body = { kind: 'Status', code: 409, reason: 'Conflict', message: 'no', details: { retryAfterSeconds: 2 } };
  const error = errorFromAnswer(409, JSON.stringify(body), undefined);
  expect(error).toMatchObject({ status: 409, reason: 'Conflict', message: 'no', retryAfterSeconds: 2 });
});

test.each([
  [429, 'Too many requests, please try again later.', 'TooManyRequests'],
  [502, '<html>Bad Gateway</html>', 'Unknown'],
  [503, '', 'ServiceUnavailable'],
])('an answer %i of something in between is told by its status and text', (status, body, reason) => {
  expect(errorFromAnswer(status, body, '7')).toMatchObject({ status, reason, retryAfterSeconds: 7 });
  expect(errorFromAnswer(status, body, undefined).message).not.toBe('');
});

test('Gone and Expired are the same to the caller', () => {
  const body = JSON.stringify({ kind: 'Status', code: 410, reason: 'Gone', message: 'too old' });
  expect(errorFromAnswer(410, body, undefined).reason).toBe('Expired');
});

test('a Retry-After that is a date is left out rather than guessed', () => {
  expect(errorFromAnswer(429, '', 'Fri, 31 Dec 1999 23:59:59 GMT').retryAfterSeconds).toBeUndefined();
});
