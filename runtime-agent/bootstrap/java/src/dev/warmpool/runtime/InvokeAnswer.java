package dev.warmpool.runtime;

import java.util.LinkedHashMap;
import java.util.Map;

/** What came of one request for the handler, as an HTTP answer. */
final class InvokeAnswer implements Invocations.Caller {
  private final HttpConnection connection;
  /** The agent's own. */
  private final Map<String, Object> headers;

  InvokeAnswer(HttpConnection connection, Map<String, Object> headers) {
    this.connection = connection;
    this.headers = headers;
  }

  @Override
  public void done(Invocations.Outcome outcome, AgentError error) {
    if (connection.isStreaming()) connection.endStream(error == null);
    else if (connection.isClosed()) return;
    else if (error != null) connection.answerError(error, headers);
    else connection.answer(outcome.result().status(), headersOf(outcome), outcome.result().body());
  }

  @Override
  public boolean begin(Invocations.Outcome outcome, Runnable onGone) {
    return connection.beginStream(outcome.result().status(), headersOf(outcome), onGone);
  }

  @Override
  public void piece(byte[] bytes, Runnable onTaken) {
    connection.sendPiece(bytes, onTaken);
  }

  private Map<String, Object> headersOf(Invocations.Outcome outcome) {
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
}
