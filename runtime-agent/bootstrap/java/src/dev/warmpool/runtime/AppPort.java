package dev.warmpool.runtime;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;

/** Waits, on a thread of its own, until an app of kind `http` listens on its port. */
final class AppPort extends Thread {
  private static final long STACK_BYTES = 256 * 1024;
  private static final long STEP_MS = 1;
  private static final long SLOW_STEP_MS = 10;
  private static final long SLOW_AFTER_MS = 2_000;
  private static final int CONNECT_MS = 200;
  private final InetSocketAddress address;
  private final Runnable onOpen;
  private volatile boolean isOver;

  AppPort(String host, int port, Runnable onOpen) {
    super(Thread.currentThread().getThreadGroup(), null, "warmpool-app-port", STACK_BYTES);
    String reachable = host.equals("0.0.0.0") ? "127.0.0.1" : host.equals("::") ? "::1" : host;
    address = new InetSocketAddress(reachable, port);
    this.onOpen = onOpen;
    setDaemon(true);
  }

  void stopWaiting() {
    isOver = true;
  }

  @Override
  public void run() {
    long startedAt = System.nanoTime();
    while (!isOver) {
      if (isOpen()) {
        onOpen.run();
        return;
      }
      boolean isSlow = System.nanoTime() - startedAt > SLOW_AFTER_MS * 1_000_000;
      try {
        Thread.sleep(isSlow ? SLOW_STEP_MS : STEP_MS);
      } catch (InterruptedException notOurs) {
        // the app may interrupt what it likes; the port is still waited for
      }
    }
  }

  private boolean isOpen() {
    try (Socket socket = new Socket()) {
      socket.connect(address, CONNECT_MS);
      // a port of the ephemeral range can be connected to itself
      return !socket.getLocalSocketAddress().equals(socket.getRemoteSocketAddress());
    } catch (IOException notYet) {
      return false;
    }
  }
}
