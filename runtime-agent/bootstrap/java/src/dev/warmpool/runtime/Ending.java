package dev.warmpool.runtime;

import java.util.LinkedHashMap;
import java.util.Map;

/** The ways a process ends: drained, or discarded because it cannot be trusted any more. */
final class Ending {
  private static final long ANSWERS_MS = 1_000;

  interface EndProcess {
    /** @param isClean the function's own shutdown hooks are run first */
    void end(int exitCode, boolean isClean);
  }

  private final AgentLoop loop;
  private final Lifecycle lifecycle;
  private final TerminationFile termination;
  private final EndProcess endProcess;
  Invocations invocations;
  private boolean isEnding;
  private boolean isEnded;

  Ending(AgentLoop loop, Lifecycle lifecycle, TerminationFile termination, EndProcess endProcess) {
    this.loop = loop;
    this.lifecycle = lifecycle;
    this.termination = termination;
    this.endProcess = endProcess;
  }

  void discard(TerminationFile.Reason reason, String message, String requestId) {
    if (isEnding) return;
    isEnding = true;
    Map<String, Object> error = new LinkedHashMap<>();
    error.put("code", reason.name());
    error.put("message", message);
    lifecycle.lastError = error;
    lifecycle.moveTo(Lifecycle.State.failed);
    termination.write(reason, message, requestId);
    invocations.failAll(message);
    endAfterAnswers(1, false);
  }

  /** No new requests; the process ends when the others have. */
  void drain(long graceMs, String why) {
    if (lifecycle.isEnding()) return;
    boolean wasLoaded = lifecycle.state != Lifecycle.State.standby;
    lifecycle.moveTo(Lifecycle.State.draining);
    loop.after(graceMs, () -> discard(
        TerminationFile.Reason.Killed, "a request was still running " + graceMs + " ms after " + why, null));
    invocations.whenIdle(() -> {
      if (isEnding) return;
      isEnding = true;
      endAfterAnswers(0, wasLoaded);
    });
  }

  private void endAfterAnswers(int exitCode, boolean isClean) {
    AgentLoop.Timer late = loop.after(ANSWERS_MS, () -> end(exitCode, isClean));
    loop.whenAnswersSent(() -> {
      late.cancel();
      end(exitCode, isClean);
    });
  }

  private void end(int exitCode, boolean isClean) {
    if (isEnded) return;
    isEnded = true;
    lifecycle.moveTo(Lifecycle.State.terminated);
    endProcess.end(exitCode, isClean);
  }
}
