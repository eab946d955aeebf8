package dev.warmpool.runtime;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** What the agent itself has to say, past whatever user code made of System.err. */
final class Output {
  private Output() {}

  static void tell(String line) {
    try {
      new FileOutputStream(FileDescriptor.err).write((line + "\n").getBytes(StandardCharsets.UTF_8));
    } catch (IOException nobodyListens) {
      // a reader of the logs that went away must not end the function
    }
  }
}
