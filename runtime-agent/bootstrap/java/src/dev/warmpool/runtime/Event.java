package dev.warmpool.runtime;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.regex.Pattern;

/** What a request brings: decoded by its content type, and as the bytes it came in. */
record Event(Object value, byte[] bytes) {
  private static final Pattern JSON_TYPE = Pattern.compile("application/([\\w.-]+\\+)?json\\s*(;.*)?");

  static boolean isJson(String contentType) {
    return contentType != null && JSON_TYPE.matcher(contentType.toLowerCase(Locale.ROOT)).matches();
  }

  static Event of(String contentType, byte[] body) throws AgentError {
    if (body.length == 0) return new Event(new LinkedHashMap<String, Object>(), body);
    if (isJson(contentType)) return new Event(parseJson(body), body);
    boolean isText = contentType != null && contentType.toLowerCase(Locale.ROOT).startsWith("text/");
    return new Event(isText ? new String(body, StandardCharsets.UTF_8) : body, body);
  }

  static Object parseJson(byte[] body) throws AgentError {
    try {
      return Json.parse(new String(body, StandardCharsets.UTF_8));
    } catch (IllegalArgumentException error) {
      throw new AgentError(AgentError.Code.BadJson, "the body is not valid JSON: " + error.getMessage());
    }
  }

  /** As the type that a handler declares: bytes and text of any event as they came, otherwise what it was decoded to. */
  Object as(Class<?> type) {
    if (type == byte[].class) return bytes;
    if (type == InputStream.class) return new ByteArrayInputStream(bytes);
    if (type == String.class && !(value instanceof String)) return new String(bytes, StandardCharsets.UTF_8);
    if (value == null || type.isInstance(value)) return value;
    String kind = value instanceof byte[] ? "bytes" : value instanceof String ? "text" : "JSON of another shape";
    throw new IllegalArgumentException("the handler takes a " + type.getTypeName() + ", but the event is " + kind);
  }
}
