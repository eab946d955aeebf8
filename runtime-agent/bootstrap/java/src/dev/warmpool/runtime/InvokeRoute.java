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
      invocations.submit(new Invocations.Call(id, event, deadlineUnixMs, http), new InvokeAnswer(connection, headers));
    } catch (AgentError error) {
      connection.answerError(error, headers);
    }
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
