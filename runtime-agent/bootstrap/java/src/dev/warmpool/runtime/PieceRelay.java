package dev.warmpool.runtime;

import java.util.concurrent.Semaphore;

/** Takes the pieces of one answer from the user's thread to the agent's, one at a time: the next is made when the last has left. */
final class PieceRelay implements PieceStream.Receiver {
  private final AgentLoop loop;
  private final ActiveRequest active;
  private final Result head;
  private final Semaphore taken = new Semaphore(0);
  private boolean hasBegun;
  /** Written before `taken` is released, and read after it was acquired. */
  private boolean isEnough;

  PieceRelay(AgentLoop loop, ActiveRequest active, Result head) {
    this.loop = loop;
    this.active = active;
    this.head = head;
  }

  /** On the user's thread. Whoever stops the request interrupts it, a client that goes away included. */
  @Override
  public boolean take(byte[] part) {
    if (active.stop != null) return false;
    loop.post(() -> pass(part));
    try {
      taken.acquire();
    } catch (InterruptedException interrupted) {
      if (active.stop != null) return false;
      throw new IllegalStateException("the function interrupted its own stream", interrupted);
    }
    return !isEnough && active.stop == null;
  }

  private void pass(byte[] part) {
    if (active.isOver() || active.stop != null) return;
    if (!hasBegun) {
      hasBegun = true;
      isEnough = !active.caller.begin(active.outcome(head), this::clientWent);
    }
    active.caller.piece(part, taken::release);
  }

  private void clientWent() {
    active.stop(new AgentError(AgentError.Code.RequestKilled, "the client closed the connection"));
  }
}
