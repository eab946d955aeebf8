package dev.warmpool.runtime;

import java.util.concurrent.LinkedBlockingQueue;

/** The process's main thread, which runs what is the user's: the import and the handler, one after the other. */
final class UserThread {
  private final LinkedBlockingQueue<Runnable> tasks = new LinkedBlockingQueue<>();
  final Thread thread;

  UserThread(Thread thread) {
    this.thread = thread;
  }

  /** From any thread. */
  void execute(Runnable task) {
    tasks.add(task);
  }

  /** On the thread itself: waits for the next task and runs it. */
  void runNext() {
    try {
      tasks.take().run();
    } catch (InterruptedException meantForATaskThatEnded) {
      // the next one starts without it
    }
  }
}
