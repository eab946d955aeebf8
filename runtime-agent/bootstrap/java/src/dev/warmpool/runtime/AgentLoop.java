package dev.warmpool.runtime;

import java.io.IOException;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;

/**
 * The agent's one thread: sockets, timers, and what other threads have to say. All state of the agent belongs to it, so that
 * nothing else needs a lock. It is apart from the thread that runs user code, which therefore cannot silence it.
 */
final class AgentLoop extends Thread {
  private static final int BACKLOG = 512;
  private static final int MAX_CONNECTIONS = 1024;
  private static final int MANY_TIMERS = 256;
  private static final long STACK_BYTES = 512 * 1024;

  final ByteBuffer buffer = ByteBuffer.allocateDirect(64 * 1024);
  /** Requests that were handed over and whose answer has not left yet. */
  int openAnswers;
  private final Selector selector;
  private final ConcurrentLinkedQueue<Runnable> posted = new ConcurrentLinkedQueue<>();
  private final PriorityQueue<Timer> timers = new PriorityQueue<>();
  private final Set<HttpConnection> connections = new HashSet<>();
  private final List<Runnable> onAnswersSent = new ArrayList<>();
  private long timerNumber;
  private int cancelledTimers;
  private Consumer<Throwable> onFailure = error -> {};
  private Consumer<OutOfMemoryError> onOutOfMemory = error -> {};
  private final Reserve reserve = new Reserve();

  final class Timer implements Comparable<Timer> {
    private final long atNanos;
    private final long number;
    private Runnable task;

    private Timer(long atNanos, long number, Runnable task) {
      this.atNanos = atNanos;
      this.number = number;
      this.task = task;
    }

    void cancel() {
      if (task != null) cancelledTimers++;
      task = null;
    }

    @Override
    public int compareTo(Timer other) {
      long difference = atNanos - other.atNanos;
      return difference == 0 ? Long.compare(number, other.number) : difference < 0 ? -1 : 1;
    }
  }

  AgentLoop() throws IOException {
    // not in the main group, where user code may list and count its threads
    super(Thread.currentThread().getThreadGroup().getParent(), null, "warmpool-agent", STACK_BYTES);
    selector = Selector.open();
    setDaemon(true);
    setContextClassLoader(null);
  }

  /** An interrupt would close the channel that is in use. User code can reach every thread, and has no business here. */
  @Override
  public void interrupt() {}

  /** @param told once, for the process to be ended: a turn was not finished, and what it had begun is in no known state */
  void onOutOfMemory(Consumer<OutOfMemoryError> told) {
    onOutOfMemory = told;
  }

  void onFailure(Consumer<Throwable> told) {
    onFailure = told;
  }

  /** From any thread that was thrown this by user code. */
  void makeRoomFor(Throwable thrown) {
    if (thrown instanceof OutOfMemoryError) reserve.release();
  }

  /** From any thread. */
  void post(Runnable task) {
    posted.add(task);
    selector.wakeup();
  }

  Timer after(long delayMs, Runnable task) {
    Timer timer = new Timer(System.nanoTime() + Math.min(delayMs, 1L << 40) * 1_000_000, timerNumber++, task);
    // every request leaves the timer of its limit behind, minutes before that would be due
    if (cancelledTimers > MANY_TIMERS && cancelledTimers > timers.size() / 2) {
      timers.removeIf(each -> each.task == null);
      cancelledTimers = 0;
    }
    timers.add(timer);
    return timer;
  }

  ServerSocketChannel listen(SocketAddress address, HttpServer server) throws IOException {
    ServerSocketChannel channel = address instanceof UnixDomainSocketAddress
        ? ServerSocketChannel.open(StandardProtocolFamily.UNIX)
        : ServerSocketChannel.open();
    try {
      channel.bind(address, BACKLOG);
      channel.configureBlocking(false);
      channel.register(selector, SelectionKey.OP_ACCEPT, server);
      return channel;
    } catch (IOException | RuntimeException error) {
      channel.close();
      throw error;
    }
  }

  @Override
  public void run() {
    try {
      turnUntilOutOfMemory();
      for (;;) turn();
    } catch (Throwable error) {
      onFailure.accept(error);
    }
  }

  private void turnUntilOutOfMemory() throws IOException {
    try {
      for (;;) turn();
    } catch (OutOfMemoryError error) {
      reserve.makeRoom();
      onOutOfMemory.accept(error);
    }
  }

  private void turn() throws IOException {
    runPosted();
    long waitMs = runTimers();
    if (posted.isEmpty()) {
      if (waitMs < 0) selector.select();
      else selector.select(Math.max(1, waitMs));
    } else {
      selector.selectNow();
    }
    for (SelectionKey key : selector.selectedKeys()) handle(key);
    selector.selectedKeys().clear();
  }

  private void runPosted() {
    for (Runnable task = posted.poll(); task != null; task = posted.poll()) task.run();
  }

  /** How long until the next one, -1 when there is none. */
  private long runTimers() {
    for (Timer timer = timers.peek(); timer != null; timer = timers.peek()) {
      long waitNanos = timer.atNanos - System.nanoTime();
      if (timer.task != null && waitNanos > 0) return (waitNanos + 999_999) / 1_000_000;
      timers.poll();
      Runnable task = timer.task;
      timer.task = null;
      if (task == null) cancelledTimers--;
      else task.run();
    }
    return -1;
  }

  private void handle(SelectionKey key) throws IOException {
    if (!key.isValid()) return;
    if (key.attachment() instanceof HttpServer server) {
      accept((ServerSocketChannel) key.channel(), server);
      return;
    }
    HttpConnection connection = (HttpConnection) key.attachment();
    try {
      if (key.isReadable()) connection.onReadable(buffer);
      else if (key.isWritable()) connection.onWritable(buffer);
    } catch (IOException | java.nio.channels.CancelledKeyException gone) {
      connection.close();
    }
  }

  private void accept(ServerSocketChannel listening, HttpServer server) throws IOException {
    for (SocketChannel channel = listening.accept(); channel != null; channel = listening.accept()) {
      if (connections.size() >= MAX_CONNECTIONS) {
        channel.close();
        continue;
      }
      channel.configureBlocking(false);
      if (!(listening.getLocalAddress() instanceof UnixDomainSocketAddress)) {
        channel.setOption(java.net.StandardSocketOptions.TCP_NODELAY, true);
      }
      SelectionKey key = channel.register(selector, SelectionKey.OP_READ);
      HttpConnection connection = new HttpConnection(this, channel, key, server);
      key.attach(connection);
      connections.add(connection);
    }
  }

  void forget(HttpConnection connection) {
    connections.remove(connection);
  }

  void answerSent() {
    openAnswers--;
    if (openAnswers > 0) return;
    List<Runnable> tasks = List.copyOf(onAnswersSent);
    onAnswersSent.clear();
    for (Runnable task : tasks) post(task);
  }

  void whenAnswersSent(Runnable task) {
    if (openAnswers == 0) post(task);
    else onAnswersSent.add(task);
  }
}
