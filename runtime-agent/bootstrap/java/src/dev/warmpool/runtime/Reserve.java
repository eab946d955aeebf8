package dev.warmpool.runtime;

import java.util.Arrays;
import java.util.concurrent.locks.LockSupport;

/** Memory put by for when the function has taken all of the heap, so that there is room to answer and to say why. */
final class Reserve {
  private static final int PIECES = 4;
  private static final int PIECE_BYTES = 64 * 1024;
  private static final int TRIALS = 3;
  private static final int TRIAL_BYTES = PIECE_BYTES / 4;
  private static final int MAX_TURNS = 25;
  private static final long PAUSE_NANOS = 20_000_000;
  private final byte[][] pieces = new byte[PIECES][PIECE_BYTES];
  private final byte[][] trials = new byte[TRIALS][];

  static {
    // finds the class: when there is no memory, it could not be looked up
    LockSupport.parkNanos(0);
  }

  /** For the thread whose hunger has just ended. */
  void release() {
    Arrays.fill(pieces, null);
  }

  /**
   * For the agent, while the hungry thread may be at it still: piece after piece, until what one piece gives is not eaten any
   * more. It is over soon, since that thread finds nothing either; for one that goes on for ever there is no remedy.
   */
  void makeRoom() {
    int given = 0;
    int found = 0;
    for (int turn = 0; turn < MAX_TURNS && found < TRIALS; turn++) {
      if (found == 0 && given < PIECES) pieces[given++] = null;
      LockSupport.parkNanos(PAUSE_NANOS);
      try {
        trials[found] = new byte[TRIAL_BYTES];
        found++;
      } catch (OutOfMemoryError eaten) {
        found = 0;
        Arrays.fill(trials, null);
      }
    }
    Arrays.fill(trials, null);
    release();
  }
}
