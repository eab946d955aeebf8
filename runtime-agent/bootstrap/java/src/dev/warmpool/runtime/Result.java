package dev.warmpool.runtime;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Future;

/** What a handler returned, as an answer: with a body, or with pieces that are still to come, or null. */
record Result(int status, Map<String, Object> headers, byte[] body, PieceStream pieces) {
  private static final byte[] NOTHING = {};
  private static final String BYTES_TYPE = "application/octet-stream";
  /** The agent's own: what a function says about them would break the connection. */
  private static final Set<String> NOT_OF_THE_FUNCTION = Set.of("transfer-encoding", "connection", "content-length");

  /** Waits for what a handler returned if it is still to come. */
  static Result ofAwaited(Object returned) throws Exception {
    if (returned instanceof Future<?> future) return of(future.get());
    if (returned instanceof CompletionStage<?> stage) return of(stage.toCompletableFuture().get());
    return of(returned);
  }

  /** Throws IllegalArgumentException with a sentence when it cannot be an answer. */
  static Result of(Object returned) throws Exception {
    if (returned == null) return new Result(204, Map.of(), NOTHING, null);
    if (returned instanceof Map<?, ?> map && isWhole(map.get("statusCode"))) return ofHttp(map);
    return of(200, returned, Map.of());
  }

  private static Result of(int status, Object body, Map<String, Object> own) {
    Map<String, Object> headers = new LinkedHashMap<>();
    PieceStream pieces = PieceStream.of(body);
    if (pieces != null) headers.put("content-type", BYTES_TYPE);
    byte[] bytes = pieces != null || body == null ? NOTHING : encode(body, headers);
    headers.putAll(own);
    return new Result(status, headers, bytes, pieces);
  }

  private static boolean isWhole(Object value) {
    return value instanceof Integer || value instanceof Long || value instanceof Short;
  }

  private static Result ofHttp(Map<?, ?> map) throws Exception {
    Object body = map.get("body");
    try {
      return of(statusOf(map), body, headersOf(map));
    } catch (RuntimeException unsendable) {
      PieceStream pieces = PieceStream.of(body);
      if (pieces != null) pieces.close();
      throw unsendable;
    }
  }

  private static int statusOf(Map<?, ?> map) {
    long status = ((Number) map.get("statusCode")).longValue();
    if (status < 200 || status > 599) {
      throw new IllegalArgumentException("returned the status " + status + ", which is not 200 to 599");
    }
    return (int) status;
  }

  private static Map<String, Object> headersOf(Map<?, ?> map) {
    Map<String, Object> headers = new LinkedHashMap<>();
    if (map.get("headers") instanceof Map<?, ?> own) {
      for (Map.Entry<?, ?> header : own.entrySet()) {
        String name = String.valueOf(header.getKey()).toLowerCase(Locale.ROOT);
        if (!HttpHead.isToken(name)) throw unsendable("\"" + name + "\" is not a header name");
        if (!NOT_OF_THE_FUNCTION.contains(name)) headers.put(name, valuesOf(name, header.getValue()));
      }
    }
    return headers;
  }

  private static List<String> valuesOf(String name, Object value) {
    List<String> values = new ArrayList<>();
    if (value instanceof Iterable<?> many) for (Object each : many) values.add(String.valueOf(each));
    else values.add(String.valueOf(value));
    for (String each : values) {
      if (!HttpHead.isValue(each)) throw unsendable("the value of " + name + " holds a character that headers cannot");
    }
    return values;
  }

  private static IllegalArgumentException unsendable(String why) {
    return new IllegalArgumentException("the handler's headers cannot be sent: " + why);
  }

  private static byte[] encode(Object value, Map<String, Object> headers) {
    if (value instanceof byte[] bytes) {
      headers.put("content-type", BYTES_TYPE);
      return bytes;
    }
    if (value instanceof CharSequence text) {
      headers.put("content-type", "text/plain; charset=utf-8");
      return text.toString().getBytes(StandardCharsets.UTF_8);
    }
    headers.put("content-type", "application/json");
    try {
      return JsonWriter.write(value).getBytes(StandardCharsets.UTF_8);
    } catch (IllegalArgumentException error) {
      throw new IllegalArgumentException("the result cannot be sent as JSON: " + error.getMessage(), error);
    }
  }
}
