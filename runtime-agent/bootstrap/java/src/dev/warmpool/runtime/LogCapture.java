package dev.warmpool.runtime;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** Copies what user code writes to System.out and System.err into the ring, with the request that runs, and passes it on. */
final class LogCapture {
  private final LogRing ring;
  private volatile String requestId;
  private PrintStream originalOut;
  private PrintStream originalErr;
  private InputStream originalIn;

  LogCapture(LogRing ring) {
    this.ring = ring;
  }

  /** Requests run one at a time, so that whatever is written meanwhile, by any thread, is of the one that runs. */
  void runs(String id) {
    requestId = id;
  }

  /** @param passesOn false in a rehearsal, whose output is nobody's */
  void install(boolean passesOn) {
    originalOut = System.out;
    originalErr = System.err;
    originalIn = System.in;
    System.setOut(stream("stdout", passesOn ? new FileOutputStream(FileDescriptor.out) : null));
    System.setErr(stream("stderr", passesOn ? new FileOutputStream(FileDescriptor.err) : null));
    // the real one is the lifeline
    System.setIn(InputStream.nullInputStream());
  }

  void uninstall() {
    System.setOut(originalOut);
    System.setErr(originalErr);
    System.setIn(originalIn);
  }

  private PrintStream stream(String name, OutputStream next) {
    return new PrintStream(new Copy(name, next), true, StandardCharsets.UTF_8);
  }

  private final class Copy extends OutputStream {
    private final String name;
    private final OutputStream next;

    private Copy(String name, OutputStream next) {
      this.name = name;
      this.next = next;
    }

    @Override
    public void write(int each) throws IOException {
      write(new byte[] {(byte) each}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
      ring.write(name, bytes, offset, offset + length, requestId);
      if (next != null) next.write(bytes, offset, length);
    }

    /** A function that closes its output keeps the pod's. */
    @Override
    public void close() {}
  }
}
