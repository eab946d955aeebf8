package dev.warmpool.runtime;

import java.util.Map;

/** One call of the handler, on the user's thread: up to its result or, where that is a stream, to the end of it. */
final class HandlerCall implements Runnable {
  private final AgentLoop loop;
  private final LogCapture capture;
  private final Handler handler;
  private final ActiveRequest active;
  private final Map<String, Object> context;
  private final Ended ended;

  interface Ended {
    /** On the agent's thread, with a result or with what was thrown. */
    void end(ActiveRequest active, Result result, Throwable thrown);
  }

  HandlerCall(
      AgentLoop loop, LogCapture capture, Handler handler, ActiveRequest active, Map<String, Object> context, Ended ended) {
    this.loop = loop;
    this.capture = capture;
    this.handler = handler;
    this.active = active;
    this.context = context;
    this.ended = ended;
  }

  @Override
  public void run() {
    Result result = null;
    Throwable thrown = null;
    capture.runs(active.call.id());
    active.enter();
    try {
      result = Result.ofAwaited(handler.call(active.call.event(), context));
      if (result.pieces() != null) stream(result);
    } catch (Throwable error) {
      thrown = UserErrors.unwrap(error);
      loop.makeRoomFor(thrown);
    }
    active.leave();
    capture.runs(null);
    Result finalResult = result;
    Throwable finalThrown = thrown;
    loop.post(() -> ended.end(active, finalResult, finalThrown));
  }

  /** What closes the source is still the request's. */
  private void stream(Result result) throws Exception {
    try (AutoCloseable last = () -> close(result.pieces())) {
      if (active.stop == null) result.pieces().sendTo(new PieceRelay(loop, active, result));
    }
  }

  private void close(PieceStream pieces) throws Exception {
    // the interrupt that stopped the stream must not stop its cleaning up
    if (active.stop != null) active.leave();
    pieces.close();
  }
}
