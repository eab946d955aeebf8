package dev.warmpool.runtime;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The newest log lines of this process, bounded by their bytes. Written by user threads, read by the agent's. */
final class LogRing {
  private static final int LINE_LIMIT_BYTES = 16 * 1024;
  /** What a line costs besides its text, so that empty lines cannot fill the memory. */
  private static final int LINE_OVERHEAD_BYTES = 64;

  private record Line(long seq, long timeUnixMs, String stream, String requestId, String text, int sizeBytes) {}

  /** Bytes after the last newline, by stream and request. One byte too many is kept, so that a cut is noticed. */
  private static final class Partial {
    byte[] bytes = new byte[256];
    int length;

    void add(byte[] more, int from, int to) {
      int count = Math.min(to - from, LINE_LIMIT_BYTES + 1 - length);
      if (length + count > bytes.length) bytes = java.util.Arrays.copyOf(bytes, Math.max(length + count, 2 * bytes.length));
      System.arraycopy(more, from, bytes, length, count);
      length += count;
    }
  }

  private final ArrayDeque<Line> lines = new ArrayDeque<>();
  private final Map<String, Partial> partials = new HashMap<>();
  private final int limitBytes;
  private long usedBytes;
  private long seq;
  private boolean isTruncated;

  LogRing(int limitBytes) {
    this.limitBytes = limitBytes;
  }

  synchronized void write(String stream, byte[] bytes, int from, int to, String requestId) {
    String key = keyOf(stream, requestId);
    int start = from;
    for (int at = from; at < to; at++) {
      if (bytes[at] != '\n') continue;
      Partial partial = partials.remove(key);
      if (partial == null) add(stream, requestId, bytes, start, at);
      else {
        partial.add(bytes, start, at);
        add(stream, requestId, partial.bytes, 0, partial.length);
      }
      start = at + 1;
    }
    if (start < to) partials.computeIfAbsent(key, none -> new Partial()).add(bytes, start, to);
  }

  /** A request is over: what it wrote without a newline is a line. */
  synchronized void flush(String requestId) {
    for (String stream : List.of("stdout", "stderr")) {
      Partial partial = partials.remove(keyOf(stream, requestId));
      if (partial != null) add(stream, requestId, partial.bytes, 0, partial.length);
    }
  }

  synchronized Map<String, Object> read(String requestId, long readLimitBytes) {
    List<Object> found = new ArrayList<>();
    boolean isCut = isTruncated;
    long sizeBytes = 0;
    for (Iterator<Line> newest = lines.descendingIterator(); newest.hasNext(); ) {
      Line line = newest.next();
      if (requestId != null && !requestId.equals(line.requestId)) continue;
      sizeBytes += line.sizeBytes;
      if (sizeBytes > readLimitBytes) {
        isCut = true;
        break;
      }
      Map<String, Object> shown = new LinkedHashMap<>();
      shown.put("seq", line.seq);
      shown.put("timeUnixMs", line.timeUnixMs);
      shown.put("stream", line.stream);
      if (line.requestId != null) shown.put("requestId", line.requestId);
      shown.put("text", line.text);
      found.add(shown);
    }
    Collections.reverse(found);
    return Map.of("lines", found, "truncated", isCut);
  }

  private static String keyOf(String stream, String requestId) {
    return requestId == null ? stream : stream + " " + requestId;
  }

  private void add(String stream, String requestId, byte[] bytes, int from, int to) {
    boolean isTooLong = to - from > LINE_LIMIT_BYTES;
    int end = isTooLong ? from + LINE_LIMIT_BYTES : to;
    // not in the middle of a character
    while (isTooLong && end > from && (bytes[end] & 0xC0) == 0x80) end--;
    String text = new String(bytes, from, end - from, StandardCharsets.UTF_8) + (isTooLong ? "…" : "");
    isTruncated |= isTooLong;
    Line line = new Line(++seq, System.currentTimeMillis(), stream, requestId, text, end - from);
    lines.add(line);
    usedBytes += line.sizeBytes + LINE_OVERHEAD_BYTES;
    while (usedBytes > limitBytes && !lines.isEmpty()) {
      usedBytes -= lines.remove().sizeBytes + LINE_OVERHEAD_BYTES;
      isTruncated = true;
    }
  }
}
