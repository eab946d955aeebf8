package dev.warmpool.runtime;

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** One request, read to its end. Header names are in lower case; a repeated header is joined with ", ". */
final class HttpRequest {
  final String method;
  final String path;
  final Map<String, String> headers;
  /** False in HTTP/1.0. */
  final boolean takesChunks;
  private final String queryText;
  byte[] body = {};
  /** The body was larger than the route takes, and was thrown away. */
  boolean isOversized;

  HttpRequest(String method, String target, Map<String, String> headers, boolean takesChunks) {
    this.method = method;
    this.headers = headers;
    this.takesChunks = takesChunks;
    int question = target.indexOf('?');
    path = question < 0 ? target : target.substring(0, question);
    queryText = question < 0 ? "" : target.substring(question + 1);
  }

  String header(String name) {
    return headers.get(name);
  }

  /** A name that is repeated has its last value. */
  Map<String, String> query() {
    Map<String, String> query = new LinkedHashMap<>();
    if (queryText.isEmpty()) return query;
    for (String pair : queryText.split("&")) {
      if (pair.isEmpty()) continue;
      int equals = pair.indexOf('=');
      query.put(decoded(equals < 0 ? pair : pair.substring(0, equals)), equals < 0 ? "" : decoded(pair.substring(equals + 1)));
    }
    return query;
  }

  String bodyText() {
    return new String(body, StandardCharsets.UTF_8);
  }

  private static String decoded(String text) {
    if (text.indexOf('%') < 0 && text.indexOf('+') < 0) return text;
    try {
      return URLDecoder.decode(text, StandardCharsets.UTF_8);
    } catch (IllegalArgumentException notEncoded) {
      return text;
    }
  }
}
