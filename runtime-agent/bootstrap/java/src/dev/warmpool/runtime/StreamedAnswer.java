package dev.warmpool.runtime;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** An answer that comes piece by piece: in chunks, to HTTP/1.0 up to the end of the connection, or its head alone. */
final class StreamedAnswer {
  private static final byte[] NOTHING = {};
  private static final byte[] LAST_CHUNK = "0\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1);
  /** False for HEAD, 204 and 304. */
  final boolean hasBody;
  final boolean isChunked;
  /** The client went before the end. */
  final Runnable onGone;
  Runnable onTaken = () -> {};

  StreamedAnswer(HttpRequest request, int status, Runnable onGone) {
    boolean mayHaveBody = status != 204 && status != 304;
    hasBody = mayHaveBody && !request.method.equals("HEAD");
    isChunked = mayHaveBody && request.takesChunks;
    this.onGone = onGone;
  }

  /** Nothing but the end of the connection says where this body ends. */
  boolean endsWithConnection() {
    return hasBody && !isChunked;
  }

  /** As it goes out. */
  byte[] part(byte[] bytes) {
    // an empty chunk would be the last one
    if (!hasBody || bytes.length == 0) return NOTHING;
    if (!isChunked) return bytes;
    byte[] size = (Integer.toHexString(bytes.length) + "\r\n").getBytes(StandardCharsets.ISO_8859_1);
    ByteBuffer chunk = ByteBuffer.allocate(size.length + bytes.length + 2);
    return chunk.put(size).put(bytes).put((byte) '\r').put((byte) '\n').array();
  }

  byte[] end() {
    return hasBody && isChunked ? LAST_CHUNK : NOTHING;
  }

  /** The last part has left. */
  void taken() {
    Runnable told = onTaken;
    onTaken = () -> {};
    told.run();
  }
}
