package dev.warmpool.runtime;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;

/** Calls the handler for one request at a time, in the order of their arrival. All but the call itself is on the agent's thread. */
final class Invocations {
  private static final int WAITING_REQUESTS = 100;
  private static final long WAITING_BYTES = 64L * 1024 * 1024;
  private static final int RETRY_AFTER_SECONDS = 1;
  /** What a call over its deadline has to clean up, from its interruption to the end of the process. */
  private static final long CLEAN_UP_MS = 200;

  record Call(String id, Event event, double callerDeadlineUnixMs, Map<String, Object> http) {}

  record Outcome(Result result, double queueMs, double handlerMs) {}

  interface Caller {
    /** Whoever was told the beginning of a stream is told its end by this. */
    void done(Outcome outcome, AgentError error);

    /** The head of a stream. False when its pieces are of no interest. `onGone` is run when the client goes before the end. */
    boolean begin(Outcome outcome, Runnable onGone);

    /** `onTaken` is run when it has left; never, if the client is gone. */
    void piece(byte[] bytes, Runnable onTaken);
  }

  interface Discard {
    void discard(TerminationFile.Reason reason, String message, String requestId);
  }

  final RequestLog requests = new RequestLog();
  int executions;
  long idleSinceUnixMs;
  private final AgentLoop loop;
  private final UserThread userThread;
  private final Lifecycle lifecycle;
  private final LogRing logs;
  private final LogCapture capture;
  private final Discard discard;
  private final ArrayDeque<ActiveRequest> waiting = new ArrayDeque<>();
  private final List<Runnable> onIdle = new ArrayList<>();
  private long waitingBytes;
  private ActiveRequest running;
  private Handler handler;
  private LoadRequest load;

  Invocations(
      AgentLoop loop, UserThread userThread, Lifecycle lifecycle, LogRing logs, LogCapture capture, Discard discard) {
    this.loop = loop;
    this.userThread = userThread;
    this.lifecycle = lifecycle;
    this.logs = logs;
    this.capture = capture;
    this.discard = discard;
  }

  void bind(Handler boundHandler, LoadRequest request) {
    handler = boundHandler;
    load = request;
    idleSinceUnixMs = System.currentTimeMillis();
  }

  int inFlight() {
    return waiting.size() + (running == null ? 0 : 1);
  }

  String runningId() {
    return running == null ? null : running.call.id;
  }

  /** Whether a request can be taken at all. */
  void admit(String requestId) throws AgentError {
    if (lifecycle.isEnding()) throw AgentError.ending();
    if (handler == null || !lifecycle.isServing()) {
      throw new AgentError(AgentError.Code.NotLoaded, "no function with a handler is loaded in this process");
    }
    if (waiting.size() >= WAITING_REQUESTS || waitingBytes > WAITING_BYTES) {
      String words = waiting.size() + " requests are already waiting for this instance";
      throw new AgentError(AgentError.Code.QueueFull, words).with("retryAfterSeconds", RETRY_AFTER_SECONDS);
    }
    if (find(requestId) != null) {
      throw new AgentError(AgentError.Code.RequestIdInUse, "a request with the id " + requestId + " is under way");
    }
  }

  void submit(Call call, Caller caller) {
    ActiveRequest active = new ActiveRequest(call, requests.open(call.id), caller);
    if (running == null) {
      start(active);
      return;
    }
    waiting.add(active);
    waitingBytes += call.event.bytes().length;
    active.timer = loop.after(remainingMs(call), () -> {
      leave(active);
      settle(active, RequestLog.State.timed_out, null, AgentError.late());
    });
    lifecycle.touch();
  }

  record Killed(boolean isUnderWay, RequestLog.State state, Runnable afterAnswer) {}

  Killed kill(KillRequest kill) throws AgentError {
    String requestId = kill.requestId();
    ActiveRequest active = find(requestId);
    if (active == null) {
      RequestLog.Entry entry = requests.find(requestId);
      if (entry != null) return new Killed(false, entry.state, () -> {});
      throw new AgentError(AgentError.Code.RequestUnknown, "no request " + requestId + " is known here");
    }
    String words = "the request was killed" + (kill.reason().isEmpty() ? "" : ": " + kill.reason());
    AgentError error = new AgentError(AgentError.Code.RequestKilled, words);
    if (active != running) {
      leave(active);
      settle(active, RequestLog.State.cancelled, null, error);
      return new Killed(true, RequestLog.State.cancelled, () -> {});
    }
    active.stop(error);
    Runnable giveUp = () -> {
      if (running != active) return;
      settle(active, RequestLog.State.cancelled, null, error);
      discard.discard(TerminationFile.Reason.Killed,
          "request " + requestId + " did not stop when it was told to: " + words, requestId);
    };
    if (!kill.isForced()) loop.after(kill.graceMs(), giveUp);
    return new Killed(true, RequestLog.State.running, kill.isForced() ? giveUp : () -> {});
  }

  /** The process is about to end because of user code: whoever waits gets an answer. */
  void failAll(String message) {
    if (running != null) {
      AgentError error = new AgentError(AgentError.Code.UserError, message).with("phase", "invoke");
      settle(running, RequestLog.State.failed, null, error);
    }
    while (!waiting.isEmpty()) {
      ActiveRequest first = waiting.peek();
      leave(first);
      settle(first, RequestLog.State.lost, null, AgentError.ending());
    }
  }

  void whenIdle(Runnable task) {
    if (inFlight() == 0) task.run();
    else onIdle.add(task);
  }

  private void start(ActiveRequest active) {
    if (active.timer != null) active.timer.cancel();
    running = active;
    double remainingMs = remainingMs(active.call);
    if (remainingMs <= 0) {
      settle(active, RequestLog.State.timed_out, null, AgentError.late());
      return;
    }
    active.startedAt = System.nanoTime();
    active.entry.state = RequestLog.State.running;
    if (lifecycle.isServing()) lifecycle.moveTo(Lifecycle.State.busy);
    else lifecycle.touch();
    long deadlineUnixMs = System.currentTimeMillis() + (long) remainingMs;
    active.timer = loop.after((long) Math.ceil(remainingMs), () -> timeOut(active));
    Map<String, Object> context = contextOf(active, deadlineUnixMs);
    userThread.execute(new HandlerCall(loop, capture, handler, active, context, this::end));
  }

  private Map<String, Object> contextOf(ActiveRequest active, long deadlineUnixMs) {
    Map<String, Object> context = new LinkedHashMap<>();
    context.put("requestId", active.call.id);
    context.put("deadlineUnixMs", deadlineUnixMs);
    context.put("remainingTimeMs", (LongSupplier) () -> Math.max(0, deadlineUnixMs - System.currentTimeMillis()));
    context.put("isCancelled", (BooleanSupplier) () -> active.stop != null);
    context.put("claimId", load.claimId());
    context.put("function", load.function());
    context.put("service", load.service());
    context.put("http", active.call.http);
    return context;
  }

  private void end(ActiveRequest active, Result result, Throwable thrown) {
    stopAwaiting(active);
    if (active != running) return;
    if (active.stop != null) {
      settle(active, RequestLog.State.cancelled, null, active.stop);
    } else if (thrown == null) {
      settle(active, RequestLog.State.succeeded, active.outcome(result), null);
    } else {
      AgentError error = new AgentError(AgentError.Code.UserError, UserErrors.message(thrown))
          .with("phase", "invoke").with("stack", UserErrors.stack(thrown));
      boolean isOutOfMemory = thrown instanceof OutOfMemoryError;
      if (isOutOfMemory) lifecycle.moveTo(Lifecycle.State.failed);
      settle(active, RequestLog.State.failed, null, error);
      // any thread of the function may have missed an allocation, and be in no known state
      if (isOutOfMemory) {
        discard.discard(TerminationFile.Reason.Crashed, UserErrors.outOfMemory(thrown), active.call.id);
      }
    }
  }

  /** A thread of Java cannot be stopped for sure, so the process goes with it. */
  private void timeOut(ActiveRequest active) {
    if (active != running) return;
    String words = "the request did not end within " + Math.round((System.nanoTime() - active.startedAt) / 1e6) + " ms";
    AgentError error = new AgentError(AgentError.Code.RequestTimeout, words);
    active.stop(error);
    active.isAwaited = true;
    loop.openAnswers++;
    loop.after(CLEAN_UP_MS, () -> stopAwaiting(active));
    settle(active, RequestLog.State.timed_out, null, error);
    discard.discard(TerminationFile.Reason.RequestTimeout, words, active.call.id);
  }

  private void stopAwaiting(ActiveRequest active) {
    if (!active.isAwaited) return;
    active.isAwaited = false;
    loop.answerSent();
  }

  private void settle(ActiveRequest active, RequestLog.State state, Outcome outcome, AgentError error) {
    if (active.timer != null) active.timer.cancel();
    active.entry.state = state;
    active.entry.endedAtUnixMs = System.currentTimeMillis();
    if (error != null) active.entry.exitReason = error.code + ": " + error.getMessage();
    logs.flush(active.call.id);
    lifecycle.touch();
    if (active == running) {
      running = null;
      executions++;
      idleSinceUnixMs = System.currentTimeMillis();
      if (waiting.isEmpty() && lifecycle.state == Lifecycle.State.busy) lifecycle.moveTo(Lifecycle.State.ready);
    }
    active.caller.done(outcome, error);
    startNext();
    if (inFlight() > 0) return;
    // in a turn of their own: a process that is to be discarded for what this request did does not end as one that is drained
    onIdle.forEach(loop::post);
    onIdle.clear();
  }

  /** In a turn of its own, so that a long line of late requests cannot pile up on the stack. */
  private void startNext() {
    if (running != null || waiting.isEmpty() || lifecycle.state == Lifecycle.State.failed) return;
    ActiveRequest next = waiting.peek();
    leave(next);
    running = next;
    loop.post(() -> {
      if (running == next) start(next);
    });
  }

  private void leave(ActiveRequest active) {
    if (waiting.remove(active)) waitingBytes -= active.call.event.bytes().length;
  }

  private ActiveRequest find(String requestId) {
    if (running != null && running.call.id.equals(requestId)) return running;
    for (Iterator<ActiveRequest> each = waiting.iterator(); each.hasNext(); ) {
      ActiveRequest active = each.next();
      if (active.call.id.equals(requestId)) return active;
    }
    return null;
  }

  private long remainingMs(Call call) {
    double untilCallers = call.callerDeadlineUnixMs - System.currentTimeMillis();
    return (long) Math.max(0, Math.min(load.requestTimeoutMs(), Math.ceil(untilCallers)));
  }
}
