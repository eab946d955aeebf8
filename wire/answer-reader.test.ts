import { describe, expect, it } from 'vitest';
import { AnswerReader, BadAnswer, type HttpAnswer } from './answer-reader.ts';

function read(text: string, ends = false): HttpAnswer | undefined {
  const reader = new AnswerReader();
  return reader.push(Buffer.from(text)) ?? (ends ? reader.end() : undefined);
}

const head = (...lines: string[]): string => `HTTP/1.1 ${lines.join('\r\n')}\r\n\r\n`;

describe('an answer', () => {
  it.each([
    ['with a length', head('200 OK', 'Content-Length: 5') + 'héll', 200, 'héll'],
    ['with no body', head('204 No Content', 'Content-Length: 7'), 204, ''],
    ['of no bytes', head('200 OK', 'Content-Length: 0'), 200, ''],
    [
      'in chunks, one of which ends within a character',
      Buffer.concat([
        Buffer.from(head('404 Not Found', 'Transfer-Encoding: chunked') + '2\r\nh\u00e9').subarray(0, -1),
        Buffer.from('\r\n3\r\n'),
        Buffer.from('\u00e9ll').subarray(1),
        Buffer.from('\r\n0\r\n\r\n'),
      ]),
      404,
      'héll',
    ],
    [
      'in chunks with extensions and a trailer',
      head('200 OK', 'transfer-encoding: Chunked') + 'A;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n',
      200,
      '0123456789',
    ],
    [
      'after interim ones',
      head('100 Continue') + head('103 Early', 'Link: </a>') + head('201 Made', 'content-length:2  ') + 'ok',
      201,
      'ok',
    ],
  ])('%s is the same in whatever pieces it comes', (_what, text, statusCode, body) => {
    const bytes = Buffer.from(text);
    const whole = { statusCode, text: body, isReusable: true, keptForMs: undefined };
    expect(new AnswerReader().push(bytes)).toEqual(whole);
    for (let cut = 1; cut < bytes.length; cut++) {
      const reader = new AnswerReader();
      expect(reader.push(bytes.subarray(0, cut))).toBeUndefined();
      expect(reader.push(bytes.subarray(cut))).toEqual(whole);
    }
    const reader = new AnswerReader();
    for (const [at] of bytes.subarray(0, -1).entries()) expect(reader.push(bytes.subarray(at, at + 1))).toBeUndefined();
    expect(reader.push(bytes.subarray(-1))).toEqual(whole);
  });

  it('without a length ends with its connection, which carries no other', () => {
    const text = head('200 OK') + 'all of it';
    expect(read(text)).toBeUndefined();
    expect(read(text, true)).toMatchObject({ text: 'all of it', isReusable: false });
  });

  it.each([
    ['says so', head('200 OK', 'Connection: Close', 'Content-Length: 0')],
    ['is of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['is followed by what nobody asked for', head('200 OK', 'Content-Length: 1') + 'aHTTP/1.1 200 OK\r\n'],
  ])('is the last of its connection if it %s', (_what, text) => {
    expect(read(text)).toMatchObject({ isReusable: false });
  });

  it('of HTTP/1.0 may keep the connection open; how long, a header says', () => {
    const text =
      'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: max=9, timeout=5\r\nContent-Length: 0\r\n\r\n';
    expect(read(text)).toMatchObject({ isReusable: true, keptForMs: 5_000 });
  });

  it('that ends too early is none', () => {
    expect(read(head('200 OK', 'Content-Length: 5') + 'hell', true)).toBeUndefined();
    expect(read(head('200 OK', 'Transfer-Encoding: chunked') + '5\r\nhello\r\n', true)).toBeUndefined();
    expect(read('HTTP/1.1 200', true)).toBeUndefined();
  });
});

describe('what is not an answer is refused in words', () => {
  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', /begins with "SSH-2.0-OpenSSH_9.2"/],
    ['a bad status', 'HTTP/1.1 20 OK\r\n\r\n', /begins with/],
    ['a folded header', head('200 OK', 'X: a', ' b'), /header line " b"/],
    ['a header without a name', head('200 OK', ': a'), /header line/],
    ['a space before the colon', head('200 OK', 'Content-Length : 1'), /header line/],
    ['a length that is no number', head('200 OK', 'Content-Length: 1e3'), /Content-Length "1e3"/],
    ['two lengths', head('200 OK', 'Content-Length: 1', 'Content-Length: 2'), /Content-Length "1, 2"/],
    ['a length and chunks', head('200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked'), /where the answer ends/],
    ['an unknown encoding', head('200 OK', 'Transfer-Encoding: gzip, chunked'), /where the answer ends/],
    ['too long a body', head('200 OK', 'Content-Length: 99999999'), /longer than/],
    ['a chunk without a size', head('200 OK', 'Transfer-Encoding: chunked') + '-1\r\n', /no size/],
    ['a chunk beyond all sizes', head('200 OK', 'Transfer-Encoding: chunked') + 'FFFFFFFFF\r\n', /no size/],
    ['a chunk that goes on', head('200 OK', 'Transfer-Encoding: chunked') + '1\r\nab\r\n', /longer than it said/],
    ['another protocol from now on', head('101 Switching', 'Upgrade: x'), /another protocol/],
    ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`, /head of the answer is longer/],
    [
      'a line without end',
      head('200 OK', 'Transfer-Encoding: chunked') + '1;'.repeat(2_000),
      /line between the chunks/,
    ],
  ])('%s', (_what, text, words) => {
    const attempt = (): unknown => read(text);
    expect(attempt).toThrow(BadAnswer);
    expect(attempt).toThrow(words);
  });
});
