package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Loads and invokes throw-away functions through agents of their own, over real sockets, so that the one real load finds every
 * class of its way initialized; then puts the process back as it was. It starts no thread: this one is client and user thread in
 * turns.
 */
final class Rehearsal {
  /** One of each common kind: what calls it is linked when the first of its kind is found. */
  private static final String[] HANDLERS = {"Rehearsal.answer", "Rehearsal.run", "Rehearsal", "Rehearsal.FUNCTION"};
  private static final String[] FOLDERS = {"jar", "classes"};
  private static final int ROUNDS = 8;
  /** Read and checked like the real one, so that what does that is compiled before. */
  private static final int REFUSED_LOADS = 3;
  private static final int INVOKES = 4;
  private final Settings settings;
  private final AgentLoop loop;
  private final UserThread userThread;
  private final Identity identity;
  /** Holds `jar/` and `classes/`, the same function in both forms. */
  private final File codeFolder;

  Rehearsal(Settings settings, AgentLoop loop, UserThread userThread, Identity identity, File codeFolder) {
    this.settings = settings;
    this.loop = loop;
    this.userThread = userThread;
    this.identity = identity;
    this.codeFolder = codeFolder;
  }

  void run() throws Exception {
    for (int round = 0; round < ROUNDS; round++) {
      String folder = FOLDERS[round % FOLDERS.length];
      rehearse(new File(codeFolder, folder), HANDLERS[round / FOLDERS.length % HANDLERS.length]);
    }
    rehearseEnding();
    // what was left over would fill the young generation in the middle of the real load
    System.gc();
  }

  private void rehearse(File code, String handler) throws Exception {
    Agent agent = newAgent();
    String socketPath = agent.settings.socketPath();
    identity.remember();
    agent.capture.install(false);
    onLoop(() -> {
      agent.listenOn(socketPath);
      agent.lifecycle.moveTo(Lifecycle.State.standby);
    });
    try (SocketChannel client = SocketChannel.open(UnixDomainSocketAddress.of(Path.of(socketPath)))) {
      expect(200, send(client, "GET", "/v1/health", null, false));
      expect(400, send(client, "POST", "/v1/load", Map.of(), false));
      for (int index = 0; index < REFUSED_LOADS; index++) {
        expect(412, send(client, "POST", "/v1/load", loadRequest("another", code, handler), false));
      }
      expect(200, send(client, "POST", "/v1/load", loadRequest(settings.runtimeName(), code, handler), true));
      expect(200, send(client, "POST", "/v1/invoke", Map.of("index", 0, "text", "ž"), true));
      callServed(agent);
      expect(200, send(client, "POST", "/v1/invoke", Map.of("streams", true), true));
      expect(502, send(client, "POST", "/v1/invoke", Map.of("fails", true), true));
      expect(200, send(client, "GET", "/v1/status", null, false));
    } finally {
      onLoop(agent::close);
      ClassLoader loaded = Thread.currentThread().getContextClassLoader();
      agent.capture.uninstall();
      identity.undo();
      if (loaded instanceof java.net.URLClassLoader loader) loader.close();
      new File(socketPath).delete();
    }
  }

  /** When there is no memory, nothing could be linked that was not before. */
  private void rehearseEnding() throws Exception {
    Agent agent = newAgent();
    onLoop(() -> agent.ranOutOfMemory(new OutOfMemoryError("rehearsed")));
    terminationFile().delete();
  }

  private Agent newAgent() {
    return new Agent(settings.forRehearsal(settings.socketPath() + ".rehearsal"), loop, userThread, identity,
        terminationFile(), (exitCode, isClean) -> {});
  }

  private File terminationFile() {
    return new File(new File(settings.socketPath()).getParentFile(), "rehearsal.json");
  }

  private void callServed(Agent agent) throws Exception {
    SocketAddress[] address = new SocketAddress[1];
    onLoop(() -> address[0] = agent.servedAddress());
    try (SocketChannel client = SocketChannel.open(address[0])) {
      for (int index = 1; index < INVOKES; index++) {
        expect(200, send(client, "POST", "/", Map.of("index", index, "text", "ž"), true));
      }
      // a plain close would leave the connection in the system's table for a minute
      client.setOption(StandardSocketOptions.SO_LINGER, 0);
    }
  }

  private interface Step {
    void run() throws IOException;
  }

  /** The agent's state is its thread's. */
  private void onLoop(Step step) throws Exception {
    var done = new java.util.concurrent.FutureTask<Void>(() -> {
      step.run();
      return null;
    });
    loop.post(done);
    done.get();
  }

  private Map<String, Object> loadRequest(String runtimeName, File code, String handler) {
    Map<String, Object> load = new LinkedHashMap<>();
    load.put("claimId", "rehearsal");
    load.put("fence", 0);
    load.put("function", Map.of("name", "rehearsal", "version", "1", "tenant", "rehearsal"));
    load.put("runtime", Map.of("name", runtimeName, "version", settings.runtimeVersion()));
    load.put("kind", "handler");
    load.put("handler", handler);
    load.put("code", Map.of("path", code.getPath(), "digest", "sha256:" + "0".repeat(64)));
    load.put("env", Map.of("REHEARSAL", "1", "TZ", "Asia/Tokyo", "LANG", "cs_CZ.UTF-8"));
    load.put("service", Map.of());
    load.put("limits", Map.of("requestTimeoutMs", 10_000, "initTimeoutMs", 10_000));
    return load;
  }

  private int send(SocketChannel client, String method, String path, Object body, boolean needsThisThread)
      throws IOException {
    byte[] bytes = body == null ? new byte[0] : JsonWriter.write(body).getBytes(StandardCharsets.UTF_8);
    String head = method + " " + path + " HTTP/1.1\r\nHost: rehearsal\r\nConnection: keep-alive\r\n"
        + "Content-Type: application/json\r\nContent-Length: " + bytes.length + "\r\n\r\n";
    ByteBuffer out = ByteBuffer.allocate(head.length() + bytes.length);
    out.put(head.getBytes(StandardCharsets.ISO_8859_1)).put(bytes).flip();
    while (out.hasRemaining()) client.write(out);
    if (needsThisThread) userThread.runNext();
    ByteBuffer in = ByteBuffer.allocate(16 * 1024);
    for (;;) {
      if (client.read(in) < 0) throw new IOException("the agent closed the connection of its rehearsal");
      String text = new String(in.array(), 0, in.position(), StandardCharsets.ISO_8859_1);
      if (isWhole(text)) return Integer.parseInt(text.substring(9, 12));
    }
  }

  private static boolean isWhole(String answer) {
    int headEnd = answer.indexOf("\r\n\r\n");
    if (headEnd < 0) return false;
    int length = answer.indexOf("content-length: ");
    if (length < 0) return answer.endsWith("\r\n0\r\n\r\n");
    int size = Integer.parseInt(answer.substring(length + 16, answer.indexOf('\r', length)));
    return answer.length() >= headEnd + 4 + size;
  }

  private static void expect(int status, int answered) {
    if (answered != status) throw new IllegalStateException("a rehearsal was answered with " + answered);
  }
}
