package dev.warmpool.runtime;

/** A request that is queued or running. */
final class ActiveRequest {
  final Invocations.Call call;
  final RequestLog.Entry entry;
  final Invocations.Caller caller;
  final long arrivedAt = System.nanoTime();
  long startedAt;
  AgentLoop.Timer timer;
  /** Why it is to stop, once somebody wants it to. */
  volatile AgentError stop;
  /** The end of the process waits for its call to come back. */
  boolean isAwaited;
  private Thread inHandler;

  ActiveRequest(Invocations.Call call, RequestLog.Entry entry, Invocations.Caller caller) {
    this.call = call;
    this.entry = entry;
    this.caller = caller;
  }

  /** On the thread that is about to run the handler. */
  synchronized void enter() {
    inHandler = Thread.currentThread();
  }

  /** After this no interrupt that was meant for this request can hit the next one. */
  synchronized void leave() {
    inHandler = null;
    Thread.interrupted();
  }

  /** Tells the handler to. The first reason stands. */
  synchronized void stop(AgentError why) {
    if (stop == null) stop = why;
    if (inHandler != null) inHandler.interrupt();
  }

  boolean isOver() {
    return entry.endedAtUnixMs > 0;
  }

  Invocations.Outcome outcome(Result result) {
    return new Invocations.Outcome(result, (startedAt - arrivedAt) / 1e6, (System.nanoTime() - startedAt) / 1e6);
  }
}
