package dev.warmpool.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.stream.Stream;

/**
 * What a handler answers piece by piece: an Iterator or a Stream of strings or byte arrays, or an InputStream. Collections and other
 * Iterables are values. All of it is called on the user's thread, since it is the function's code that makes the pieces.
 */
final class PieceStream implements AutoCloseable {
  /** A larger piece goes out in parts, so that beside it little is held for a client that is slow. */
  static final int PART_BYTES = 64 * 1024;
  private static final int READ_BYTES = 16 * 1024;
  private final Object source;

  private PieceStream(Object source) {
    this.source = source;
  }

  /** Null when it is a value. */
  static PieceStream of(Object returned) {
    boolean isStream = returned instanceof Iterator<?> || returned instanceof Stream<?> || returned instanceof InputStream;
    return isStream ? new PieceStream(returned) : null;
  }

  interface Receiver {
    /** Returns once the part has left. False when no more is wanted. */
    boolean take(byte[] part);
  }

  /** Up to the last piece, or until no more is wanted. */
  void sendTo(Receiver receiver) throws IOException {
    if (source instanceof InputStream input) sendAll(input, receiver);
    else if (source instanceof Stream<?> stream) sendAll(stream, receiver);
    else sendAll((Iterator<?>) source, receiver);
  }

  private static void sendAll(InputStream input, Receiver receiver) throws IOException {
    byte[] buffer = new byte[READ_BYTES];
    for (int count = input.read(buffer); count >= 0; count = input.read(buffer)) {
      if (!receiver.take(Arrays.copyOf(buffer, count))) return;
    }
  }

  private static void sendAll(Iterator<?> pieces, Receiver receiver) {
    while (pieces.hasNext()) if (!sendPiece(pieces.next(), receiver)) return;
  }

  /** Pushed, since the iterator of a stream first collects all that a `flatMap` makes of one element. */
  private static void sendAll(Stream<?> stream, Receiver receiver) {
    try {
      stream.sequential().forEachOrdered(piece -> {
        if (!sendPiece(piece, receiver)) throw new NoMoreWanted();
      });
    } catch (NoMoreWanted enough) {
      // the only way out of a stream that is under way
    }
  }

  private static final class NoMoreWanted extends RuntimeException {
    private NoMoreWanted() {
      super(null, null, false, false);
    }
  }

  private static boolean sendPiece(Object piece, Receiver receiver) {
    byte[] bytes = bytesOf(piece);
    if (bytes.length <= PART_BYTES) return receiver.take(bytes);
    for (int from = 0; from < bytes.length; from += PART_BYTES) {
      if (!receiver.take(Arrays.copyOfRange(bytes, from, Math.min(from + PART_BYTES, bytes.length)))) return false;
    }
    return true;
  }

  private static byte[] bytesOf(Object piece) {
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
