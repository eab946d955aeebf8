import { describe, expect, it } from 'vitest';
import { LogRing } from './log-ring.mjs';

describe('a log ring', () => {
  it('joins what comes in pieces into lines, apart for each request', () => {
    const ring = new LogRing(10_000);
    ring.write('stdout', 'a', 'one');
    ring.write('stdout', 'x\n', 'two');
    ring.write('stdout', 'b\nc', 'one');
    expect(ring.read({}).lines.map((line) => line.text)).toEqual(['x', 'ab']);
    ring.flush('one');
    expect(ring.read({ requestId: 'one' }).lines.map((line) => line.text)).toEqual(['ab', 'c']);
  });

  it('bounds the number of empty lines too', () => {
    const ring = new LogRing(6_400);
    ring.write('stderr', '\n'.repeat(10_000), undefined);
    const { lines, truncated } = ring.read({});
    expect(lines.length).toBeLessThanOrEqual(100);
    expect(truncated).toBe(true);
    expect(lines.at(-1)?.seq).toBe(10_000);
  });

  it('cuts a line at 16 KiB without breaking a character, however it arrives', () => {
    const ring = new LogRing(100_000);
    for (let index = 0; index < 3_000; index++) ring.write('stdout', 'žž日本', 'long');
    ring.write('stdout', '\nnext\n', 'long');
    const [long, next] = ring.read({}).lines;
    expect(long?.text).toMatch(/^[ž日本]+…$/u);
    expect(Buffer.byteLength(long?.text ?? '')).toBeLessThanOrEqual(16 * 1024 + 3);
    expect(next?.text).toBe('next');
  });

  it('gives the newest lines that fit a limit, oldest first', () => {
    const ring = new LogRing(10_000);
    ring.write('stdout', '1111\n2222\n3333\n', undefined);
    expect(ring.read({ limitBytes: 9 })).toMatchObject({
      lines: [{ text: '2222' }, { text: '3333' }],
      truncated: true,
    });
    expect(ring.read({ limitBytes: 12 }).truncated).toBe(false);
  });
});
