package dev.warmpool.runtime;

import java.io.IOException;
import java.net.StandardSocketOptions;
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
  private StreamedAnswer streamed;
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
    else listen(key.interestOps());
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
    return streamed != null;
  }

  boolean isClosed() {
    return !channel.isOpen();
  }

  /** An answer in pieces. False when the client gets none of them. `onGone` is run when it goes before the end. */
  boolean beginStream(int status, Map<String, ?> headers, Runnable onGone) {
    streamed = new StreamedAnswer(request, status, onGone);
    closesAfterAnswer |= streamed.endsWithConnection();
    Map<String, Object> all = new LinkedHashMap<>(headers);
    if (closesAfterAnswer) all.put("connection", "close");
    if (streamed.isChunked) all.put("transfer-encoding", "chunked");
    output = ByteBuffer.wrap(HttpHead.write(status, all, -1));
    return streamed.hasBody;
  }

  /** One after the other: `onTaken` is run when the system has taken all of it; never, if the client is gone. */
  void sendPiece(byte[] bytes, Runnable onTaken) {
    if (streamed == null) return;
    streamed.onTaken = onTaken;
    push(streamed.part(bytes));
  }

  /** Half a stream must not pass for the whole. */
  void endStream(boolean isWhole) {
    StreamedAnswer ended = streamed;
    streamed = null;
    if (isWhole) push(ended.end());
    else cut(ended.endsWithConnection());
  }

  private void cut(boolean endsWithConnection) {
    try {
      // the client is told of a failure where a plain end would be the end of the body
      if (endsWithConnection) channel.setOption(StandardSocketOptions.SO_LINGER, 0);
    } catch (IOException gone) {
      // it needs not be told any more
    }
    close();
  }

  private void push(byte[] bytes) {
    int left = output == null ? 0 : output.remaining();
    ByteBuffer all = ByteBuffer.allocate(left + bytes.length);
    if (left > 0) all.put(output);
    output = all.put(bytes).flip();
    try {
      write(loop.buffer);
    } catch (IOException gone) {
      close();
    }
  }

  /** During a stream it is read on, to a limit, since that is how a client that goes away is noticed. */
  private void listen(int operations) {
    boolean reads = streamed != null && inputLength < HttpHead.MAX_BYTES;
    key.interestOps(reads ? operations | SelectionKey.OP_READ : operations & ~SelectionKey.OP_READ);
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
        listen(SelectionKey.OP_WRITE);
        return;
      }
    }
    if (streamed == null) {
      endAnswer();
      return;
    }
    listen(0);
    streamed.taken();
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
    StreamedAnswer unfinished = streamed;
    streamed = null;
    if (unfinished != null) unfinished.onGone.run();
    if (isAnswering) {
      isAnswering = false;
      loop.answerSent();
    }
  }
}
