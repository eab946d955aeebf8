package dev.warmpool.runtime;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * A body under way, by length or in chunks. What is too large is thrown away to its end before it is refused: a client that is
 * still writing when the connection closes would not get to read the answer.
 */
final class HttpBody {
  private static final int LONGEST_CHUNK_LINE = 1024;
  private final ByteArrayOutputStream kept = new ByteArrayOutputStream(0);
  private final int limitBytes;
  private final boolean isChunked;
  /** Of the body or of the present chunk. */
  private long left;
  private boolean isInChunk;
  private boolean isInTrailer;
  private boolean isComplete;
  private boolean isOversized;

  private HttpBody(boolean isChunked, long length, int limitBytes) {
    this.isChunked = isChunked;
    this.limitBytes = limitBytes;
    left = length;
    isComplete = !isChunked && length == 0;
  }

  static HttpBody of(HttpRequest head, int limitBytes) {
    String coding = head.header("transfer-encoding");
    String length = head.header("content-length");
    if (coding != null) {
      if (!coding.equalsIgnoreCase("chunked") || length != null) {
        throw new IllegalArgumentException("Transfer-Encoding must be chunked, without a Content-Length");
      }
      return new HttpBody(true, 0, limitBytes);
    }
    if (length == null) return new HttpBody(false, 0, limitBytes);
    if (!isNumber(length)) {
      throw new IllegalArgumentException("Content-Length is not a number of bytes");
    }
    return new HttpBody(false, Long.parseLong(length), limitBytes);
  }

  private static boolean isNumber(String text) {
    for (int at = 0; at < text.length(); at++) if (text.charAt(at) < '0' || text.charAt(at) > '9') return false;
    return !text.isEmpty() && text.length() <= 15;
  }

  /** Takes what belongs to the body and tells how much that was. */
  int feed(byte[] bytes, int length) {
    int at = 0;
    while (!isComplete && at < length) {
      if (!isChunked || isInChunk) {
        int count = (int) Math.min(left, length - at);
        keep(bytes, at, count);
        at += count;
        left -= count;
        if (left > 0) return at;
        if (isChunked) isInChunk = false;
        else isComplete = true;
        continue;
      }
      int lineEnd = lineEnd(bytes, at, length);
      if (lineEnd < 0) {
        if (length - at > LONGEST_CHUNK_LINE) throw new IllegalArgumentException("a chunk's head is too long");
        return at;
      }
      takeLine(new String(bytes, at, lineEnd - at, StandardCharsets.ISO_8859_1));
      at = lineEnd + 2;
    }
    return at;
  }

  /** The head of a chunk, the empty line after one, or a line of the trailer. */
  private void takeLine(String line) {
    if (isInTrailer) {
      isComplete = line.isEmpty();
      return;
    }
    if (line.isEmpty()) return;
    int semicolon = line.indexOf(';');
    String size = (semicolon < 0 ? line : line.substring(0, semicolon)).strip();
    try {
      left = Integer.parseUnsignedInt(size, 16) & 0x7fffffffL;
    } catch (NumberFormatException error) {
      throw new IllegalArgumentException("a chunk's size is not a number");
    }
    if (left == 0) isInTrailer = true;
    else isInChunk = true;
  }

  private void keep(byte[] bytes, int at, int count) {
    isOversized = isOversized || kept.size() + count > limitBytes;
    if (isOversized) kept.reset();
    else kept.write(bytes, at, count);
  }

  private static int lineEnd(byte[] bytes, int from, int to) {
    for (int at = from; at + 1 < to; at++) if (bytes[at] == '\r' && bytes[at + 1] == '\n') return at;
    return -1;
  }

  boolean isComplete() {
    return isComplete;
  }

  boolean isOversized() {
    return isOversized;
  }

  byte[] bytes() {
    return kept.toByteArray();
  }
}
