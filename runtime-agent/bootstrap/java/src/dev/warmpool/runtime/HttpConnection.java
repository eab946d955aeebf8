package dev.warmpool.runtime;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** One client: a request is read to its end, handed over, answered, and only then the next one is looked at. */
final class HttpConnection {
  private static final byte[] CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1);
  private static final byte[] LAST_CHUNK = "0\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1);
  /** A request that has begun must be complete within this time. */
  private static final long REQUEST_MS = 60_000;

  private final AgentLoop loop;
  private final SocketChannel channel;
  private final SelectionKey key;
  private final HttpServer server;
  /** What has been read and not yet understood. */
  private byte[] input = new byte[2048];
  private int inputLength;
  private HttpRequest request;
  private HttpBody body;
  private ByteBuffer output;
  private boolean isAnswering;
  private boolean closesAfterAnswer;
  /** The answer comes piece by piece. */
  private boolean isStreaming;
  private boolean isBodiless;
  private Runnable onRoom;
  private AgentLoop.Timer limit;

  HttpConnection(AgentLoop loop, SocketChannel channel, SelectionKey key, HttpServer server) {
    this.loop = loop;
    this.channel = channel;
    this.key = key;
    this.server = server;
    limitIdle();
  }

  void onReadable(ByteBuffer buffer) throws IOException {
    buffer.clear();
    int count = channel.read(buffer);
    if (count < 0) {
      close();
      return;
    }
    buffer.flip();
    if (inputLength + count > input.length) {
      input = Arrays.copyOf(input, Math.max(inputLength + count, input.length * 2));
    }
    buffer.get(input, inputLength, count);
    inputLength += count;
    if (!isAnswering) advance();
  }

  void onWritable(ByteBuffer buffer) throws IOException {
    write(buffer);
  }

  private void advance() throws IOException {
    try {
      if (request == null && !readHead()) return;
      int used = body.feed(input, inputLength);
      drop(used);
      if (!body.isComplete()) return;
    } catch (IllegalArgumentException malformed) {
      closesAfterAnswer = true;
      beginAnswer();
      answerError(new AgentError(AgentError.Code.BadRequest, malformed.getMessage()), Map.of());
      return;
    }
    HttpRequest complete = request;
    complete.body = body.bytes();
    complete.isOversized = body.isOversized();
    body = null;
    beginAnswer();
    server.serve(complete, this);
  }

  private boolean readHead() throws IOException {
    int headEnd = HttpHead.end(input, 0, inputLength);
    if (headEnd < 0) {
      if (inputLength > HttpHead.MAX_BYTES) {
        throw new IllegalArgumentException("the head is larger than " + HttpHead.MAX_BYTES + " bytes");
      }
      if (inputLength > 0) limitTo(REQUEST_MS);
      return false;
    }
    request = HttpHead.parse(input, headEnd);
    drop(headEnd);
    limitTo(REQUEST_MS);
    closesAfterAnswer = "close".equalsIgnoreCase(request.header("connection"));
    body = HttpBody.of(request, server.bodyLimitBytes(request));
    if ("100-continue".equalsIgnoreCase(request.header("expect"))) {
      ByteBuffer go = ByteBuffer.wrap(CONTINUE);
      while (go.hasRemaining() && channel.write(go) > 0) {}
    }
    return true;
  }

  private void drop(int count) {
    inputLength -= count;
    System.arraycopy(input, count, input, 0, inputLength);
    if (inputLength == 0 && input.length > 64 * 1024) input = new byte[2048];
  }

  private void beginAnswer() {
    isAnswering = true;
    loop.openAnswers++;
    if (limit != null) limit.cancel();
    // nothing is read meanwhile, so that a client cannot fill the memory
    if (key.isValid()) key.interestOps(0);
  }

  void answerJson(int status, Object value, Map<String, ?> headers) {
    Map<String, Object> all = new LinkedHashMap<>(headers);
    all.put("content-type", "application/json");
    answer(status, all, JsonWriter.write(value).getBytes(StandardCharsets.UTF_8));
  }

  void answerError(AgentError error, Map<String, ?> headers) {
    Map<String, Object> all = new LinkedHashMap<>(headers);
    Object retry = error.fact("retryAfterSeconds");
    if (retry != null) all.put("retry-after", retry);
    answerJson(error.code.status, error.toBody(), all);
  }

  void answer(int status, Map<String, ?> headers, byte[] bytes) {
    boolean hasBody = status != 204 && status != 304;
    Map<String, Object> all = new LinkedHashMap<>(headers);
    if (closesAfterAnswer) all.put("connection", "close");
    byte[] head = HttpHead.write(status, all, hasBody ? bytes.length : -1);
    boolean sendsBody = hasBody && (request == null || !request.method.equals("HEAD"));
    output = ByteBuffer.allocate(head.length + (sendsBody ? bytes.length : 0)).put(head);
    if (sendsBody) output.put(bytes);
    output.flip();
    try {
      write(loop.buffer);
    } catch (IOException gone) {
      close();
    }
  }

  boolean isStreaming() {
    return isStreaming;
  }

  boolean isClosed() {
    return !channel.isOpen();
  }

  void beginStream(int status, Map<String, ?> headers) {
    Map<String, Object> all = new LinkedHashMap<>(headers);
    if (closesAfterAnswer) all.put("connection", "close");
    isBodiless = status == 204 || status == 304 || (request != null && request.method.equals("HEAD"));
    if (status != 204 && status != 304) all.put("transfer-encoding", "chunked");
    isStreaming = true;
    push(HttpHead.write(status, all, -1));
  }

  /** `told` is run once the bytes are with the client's machine, or when the client has gone. */
  void piece(byte[] bytes, Runnable told) {
    onRoom = told;
    if (bytes.length == 0 || isBodiless) push(new byte[0]);
    else push(chunkOf(bytes));
  }

  void endStream() {
    isStreaming = false;
    push(isBodiless ? new byte[0] : LAST_CHUNK);
  }

  private static byte[] chunkOf(byte[] bytes) {
    byte[] size = (Integer.toHexString(bytes.length) + "\r\n").getBytes(StandardCharsets.ISO_8859_1);
    return ByteBuffer.allocate(size.length + bytes.length + 2).put(size).put(bytes).put((byte) '\r').put((byte) '\n').array();
  }

  private void push(byte[] bytes) {
    if (!channel.isOpen()) {
      tellRoom();
      return;
    }
    int left = output == null ? 0 : output.remaining();
    ByteBuffer more = ByteBuffer.allocate(left + bytes.length);
    if (left > 0) more.put(output);
    output = more.put(bytes).flip();
    try {
      write(loop.buffer);
    } catch (IOException gone) {
      close();
    }
  }

  private void tellRoom() {
    Runnable told = onRoom;
    onRoom = null;
    if (told != null) told.run();
  }

  /** Through a small buffer outside the heap, so that the JVM keeps no copy as large as the largest answer. */
  private void write(ByteBuffer buffer) throws IOException {
    while (output != null && output.hasRemaining()) {
      buffer.clear();
      ByteBuffer part = output.slice(output.position(), Math.min(buffer.capacity(), output.remaining()));
      buffer.put(part).flip();
      int count = channel.write(buffer);
      output.position(output.position() + count);
      if (buffer.hasRemaining()) {
        key.interestOps(SelectionKey.OP_WRITE);
        return;
      }
    }
    if (isStreaming) {
      key.interestOps(0);
      tellRoom();
      return;
    }
    endAnswer();
  }

  private void endAnswer() throws IOException {
    if (!isAnswering) return;
    isAnswering = false;
    output = null;
    request = null;
    loop.answerSent();
    if (closesAfterAnswer) {
      close();
      return;
    }
    key.interestOps(SelectionKey.OP_READ);
    limitIdle();
    if (inputLength > 0) loop.post(this::advanceLater);
  }

  /** The next request was sent before the last one was answered. */
  private void advanceLater() {
    try {
      if (!isAnswering && key.isValid()) advance();
    } catch (IOException gone) {
      close();
    }
  }

  private void limitIdle() {
    limitTo(server.idleLimitMs());
  }

  private void limitTo(long ms) {
    if (limit != null) limit.cancel();
    limit = ms > 0 ? loop.after(ms, this::close) : null;
  }

  void close() {
    if (limit != null) limit.cancel();
    key.cancel();
    try {
      channel.close();
    } catch (IOException alreadyGone) {
      // nothing is left to be done for this client
    }
    loop.forget(this);
    isStreaming = false;
    tellRoom();
    if (isAnswering) {
      isAnswering = false;
      loop.answerSent();
    }
  }
}
