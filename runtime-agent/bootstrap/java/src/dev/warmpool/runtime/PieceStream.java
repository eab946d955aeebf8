package dev.warmpool.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import java.util.stream.BaseStream;

/** What a handler answers piece by piece: an Iterator or a Stream of strings or bytes, or an InputStream. */
final class PieceStream implements AutoCloseable {
  private static final int READ_BYTES = 16 * 1024;
  private final Object source;
  private final Iterator<?> pieces;

  private PieceStream(Object source) {
    this.source = source;
    pieces = source instanceof Iterator<?> iterator ? iterator
        : source instanceof BaseStream<?, ?> stream ? stream.iterator()
        : null;
  }

  /** Null when it is a value. */
  static PieceStream of(Object value) {
    boolean isStream = value instanceof Iterator<?> || value instanceof BaseStream<?, ?> || value instanceof InputStream;
    return isStream ? new PieceStream(value) : null;
  }

  interface Client {
    /** `onRoom` is run when the client has taken the piece, or is gone. */
    void piece(byte[] bytes, Runnable onRoom);
  }

  /**
   * On the user's thread, which waits for the client before it makes another piece. `begin` and `client` are called on the agent's,
   * and only while the request `isRunning`.
   */
  void send(AgentLoop loop, BooleanSupplier isRunning, Runnable begin, Client client) throws Exception {
    // one that fails before its first piece is an error like any other
    byte[] piece = next();
    loop.post(() -> {
      if (isRunning.getAsBoolean()) begin.run();
    });
    for (; piece != null; piece = next()) {
      byte[] bytes = piece;
      Semaphore hasRoom = new Semaphore(0);
      loop.post(() -> {
        if (isRunning.getAsBoolean()) client.piece(bytes, hasRoom::release);
        else hasRoom.release();
      });
      hasRoom.acquire();
    }
  }

  /** Null after the last one. This is where the function's code runs. */
  private byte[] next() throws IOException {
    if (source instanceof InputStream input) {
      byte[] bytes = new byte[READ_BYTES];
      int count = input.read(bytes);
      return count < 0 ? null : Arrays.copyOf(bytes, count);
    }
    if (!pieces.hasNext()) return null;
    Object piece = pieces.next();
    if (piece instanceof byte[] bytes) return bytes;
    if (piece instanceof CharSequence text) return text.toString().getBytes(StandardCharsets.UTF_8);
    String kind = piece == null ? "null" : "a " + piece.getClass().getTypeName();
    throw new IllegalArgumentException("streamed " + kind + ", which is neither a string nor bytes");
  }

  @Override
  public void close() throws Exception {
    if (source instanceof AutoCloseable closeable) closeable.close();
  }
}
