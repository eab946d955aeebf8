const NEWLINE = 0x0a;
/** Far above what etcd lets an object be (1.5 MiB): a line that passes it is no watch event. */
const LINE_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * The JSON values of a stream of lines, however the lines are cut into chunks: bytes are joined before they are decoded, so that a
 * character cut in two stays whole. A stream that ends inside a line was cut off, and fails.
 */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void> {
  let partial: Uint8Array[] = [];
  let partialBytes = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...partial, chunk.subarray(start, end)]).toString();
      partial = [];
      partialBytes = 0;
      start = end + 1;
      if (line.trim() !== '') yield JSON.parse(line) as unknown;
    }
    if (start === chunk.length) continue;
    partial.push(chunk.subarray(start));
    partialBytes += chunk.length - start;
    if (partialBytes > LINE_LIMIT_BYTES)
      throw new Error(`a line of the stream is longer than ${LINE_LIMIT_BYTES} bytes`);
  }
  if (partialBytes > 0) throw new Error('the stream ended inside a line');
}
