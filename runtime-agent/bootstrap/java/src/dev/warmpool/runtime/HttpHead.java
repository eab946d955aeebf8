package dev.warmpool.runtime;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** Reads and writes the heads of HTTP/1.1 messages. */
final class HttpHead {
  static final int MAX_BYTES = 64 * 1024;

  private HttpHead() {}

  /** The position after the empty line, or -1 when it is not there yet. */
  static int end(byte[] bytes, int from, int to) {
    for (int at = from; at + 3 < to; at++) {
      if (bytes[at] == '\r' && bytes[at + 1] == '\n' && bytes[at + 2] == '\r' && bytes[at + 3] == '\n') return at + 4;
    }
    return -1;
  }

  /** Throws IllegalArgumentException when this is not HTTP. */
  static HttpRequest parse(byte[] bytes, int length) {
    String text = new String(bytes, 0, length, StandardCharsets.ISO_8859_1);
    int lineEnd = text.indexOf("\r\n");
    int first = text.indexOf(' ');
    int second = text.indexOf(' ', first + 1);
    if (first < 1 || second < 0 || second > lineEnd || !text.startsWith("HTTP/1.", second + 1)) {
      throw new IllegalArgumentException("the request line is not one of HTTP/1.1");
    }
    Map<String, String> headers = new LinkedHashMap<>();
    int at = lineEnd + 2;
    while (at < text.length() - 2) {
      int end = text.indexOf("\r\n", at);
      int colon = text.indexOf(':', at);
      if (colon <= at || colon > end || !isToken(text.substring(at, colon))) {
        throw new IllegalArgumentException("a header line is malformed");
      }
      String name = text.substring(at, colon).toLowerCase(Locale.ROOT);
      String value = text.substring(colon + 1, end).strip();
      String earlier = headers.put(name, value);
      if (earlier != null) {
        if (name.equals("content-length")) throw new IllegalArgumentException("Content-Length is repeated");
        headers.put(name, earlier + ", " + value);
      }
      at = end + 2;
    }
    boolean isOld = text.startsWith("HTTP/1.0", second + 1);
    if (isOld) headers.putIfAbsent("connection", "close");
    return new HttpRequest(text.substring(0, first), text.substring(first + 1, second), headers, !isOld);
  }

  /** Header values are a text or a list of texts, one line each. */
  static byte[] write(int status, Map<String, ?> headers, long contentLength) {
    StringBuilder head = new StringBuilder(256).append("HTTP/1.1 ").append(status).append(' ');
    head.append(HttpStatus.reason(status)).append("\r\n");
    for (Map.Entry<String, ?> header : headers.entrySet()) {
      if (header.getValue() instanceof Iterable<?> values) {
        for (Object value : values) head.append(header.getKey()).append(": ").append(value).append("\r\n");
      } else {
        head.append(header.getKey()).append(": ").append(header.getValue()).append("\r\n");
      }
    }
    if (contentLength >= 0) head.append("content-length: ").append(contentLength).append("\r\n");
    return head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
  }

  static boolean isToken(String name) {
    for (int index = 0; index < name.length(); index++) {
      char each = name.charAt(index);
      boolean isLetterOrDigit = each >= 'a' && each <= 'z' || each >= 'A' && each <= 'Z' || each >= '0' && each <= '9';
      if (!isLetterOrDigit && "!#$%&'*+-.^_`|~".indexOf(each) < 0) return false;
    }
    return !name.isEmpty();
  }

  static boolean isValue(String value) {
    for (int index = 0; index < value.length(); index++) {
      char each = value.charAt(index);
      if (each > 255 || each == 127 || each < ' ' && each != '\t') return false;
    }
    return true;
  }
}
