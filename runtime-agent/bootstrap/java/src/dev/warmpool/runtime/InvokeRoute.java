package dev.warmpool.runtime;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Requests for the handler, from the served port or from `/v1/invoke`. */
final class InvokeRoute implements HttpServer {
  static final int BODY_LIMIT_BYTES = 6 * 1024 * 1024;
  private static final long SERVED_IDLE_MS = 65_000;
  private final Invocations invocations;
  private final String idPrefix = Lifecycle.randomWord().substring(0, 16);
  private long made;
  private boolean isFirst = true;

  InvokeRoute(Invocations invocations) {
    this.invocations = invocations;
  }

  @Override
  public int bodyLimitBytes(HttpRequest head) {
    return BODY_LIMIT_BYTES;
  }

  @Override
  public long idleLimitMs() {
    return SERVED_IDLE_MS;
  }

  @Override
  public void serve(HttpRequest request, HttpConnection connection) {
    serve(request, connection, request.method, request.path);
  }

  void serve(HttpRequest request, HttpConnection connection, String method, String path) {
    Map<String, Object> headers = new LinkedHashMap<>();
    try {
      String id = requestIdOf(request);
      headers.put("x-request-id", id);
      double deadlineUnixMs = deadlineOf(request);
      invocations.admit(id);
      if (request.isOversized) throw Routes.tooLarge(BODY_LIMIT_BYTES);
      Event event = Event.of(request.header("content-type"), request.body);
      Map<String, Object> http = new LinkedHashMap<>();
      http.put("method", method);
      http.put("path", path);
      http.put("query", request.query());
      http.put("headers", request.headers);
      headers.put("x-start-type", isFirst ? "standby" : "warm");
      isFirst = false;
      invocations.submit(new Invocations.Call(id, event, deadlineUnixMs, http), new Answering(connection, headers));
    } catch (AgentError error) {
      connection.answerError(error, headers);
    }
  }

  private record Answering(HttpConnection connection, Map<String, Object> headers) implements Invocations.Caller {
    @Override
    public void done(Invocations.Outcome outcome, AgentError error) {
      // half a stream must not pass for the whole
      if (connection.isStreaming() && error != null) connection.close();
      else if (connection.isStreaming()) connection.endStream();
      else if (error != null) connection.answerError(error, headers);
      else if (!connection.isClosed()) answer(connection, outcome, headers);
    }

    @Override
    public void begin(Invocations.Outcome outcome) {
      connection.beginStream(outcome.result().status(), headersOf(outcome, headers));
    }

    @Override
    public void piece(byte[] bytes, Runnable onRoom) {
      connection.piece(bytes, onRoom);
    }
  }

  private static void answer(HttpConnection connection, Invocations.Outcome outcome, Map<String, Object> headers) {
    connection.answer(outcome.result().status(), headersOf(outcome, headers), outcome.result().body());
  }

  private static Map<String, Object> headersOf(Invocations.Outcome outcome, Map<String, Object> headers) {
    Map<String, Object> all = new LinkedHashMap<>(outcome.result().headers());
    all.putAll(headers);
    all.put("server-timing",
        "queue;dur=" + hundredths(outcome.queueMs()) + ", handler;dur=" + hundredths(outcome.handlerMs()));
    return all;
  }

  /** String.format would load a good part of the JDK for this alone. */
  private static String hundredths(double ms) {
    long whole = Math.round(ms * 100);
    long rest = whole % 100;
    return whole / 100 + (rest < 10 ? ".0" : ".") + rest;
  }

  private String requestIdOf(HttpRequest request) throws AgentError {
    String id = request.header("x-request-id");
    if (id == null) return idPrefix + "-" + ++made;
    if (FieldChecks.REQUEST_ID.pattern().matcher(id).matches()) return id;
    throw wrongHeader("X-Request-Id", FieldChecks.REQUEST_ID.rule());
  }

  private static double deadlineOf(HttpRequest request) throws AgentError {
    String text = request.header("x-deadline-ms");
    if (text == null) return Double.POSITIVE_INFINITY;
    try {
      double deadline = Double.parseDouble(text.toLowerCase(Locale.ROOT));
      if (deadline > 0 && !Double.isInfinite(deadline)) return deadline;
    } catch (NumberFormatException notANumber) {
      // said below
    }
    throw wrongHeader("X-Deadline-Ms", "must be a time in Unix milliseconds");
  }

  private static AgentError wrongHeader(String name, String rule) {
    return new AgentError(AgentError.Code.BadRequest, "the header " + name + " " + rule)
        .with("details", List.of(Map.of("field", name, "message", rule)));
  }
}
