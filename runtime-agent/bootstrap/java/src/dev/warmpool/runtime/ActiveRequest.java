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

  synchronized void interrupt() {
    if (inHandler != null) inHandler.interrupt();
  }
}
