package dev.warmpool.runtime;

import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;

/** Whoever started this process is gone when its end of stdin is. */
final class Lifeline extends Thread {
  private static final long STACK_BYTES = 128 * 1024;

  Lifeline() {
    super(Thread.currentThread().getThreadGroup().getParent(), null, "warmpool-lifeline", STACK_BYTES);
    setDaemon(true);
    setContextClassLoader(null);
  }

  @Override
  public void interrupt() {}

  @Override
  public void run() {
    try {
      FileInputStream stdin = new FileInputStream(FileDescriptor.in);
      while (stdin.read() >= 0) {}
    } catch (IOException closed) {
      // the end of it in another way
    }
    Runtime.getRuntime().halt(137);
  }
}
