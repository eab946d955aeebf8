package dev.warmpool.runtime;

import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** What `/v1/status` says of the process itself. */
final class ProcessFacts {
  static final long STARTED_NANOS = System.nanoTime();
  static final long PID = ProcessHandle.current().pid();
  private static final int PAGE_BYTES = 4096;

  private ProcessFacts() {}

  /** Where there is no /proc, the heap in use stands for it. */
  static double residentMiB() {
    try (FileInputStream file = new FileInputStream("/proc/self/statm")) {
      String[] fields = new String(file.readNBytes(256), StandardCharsets.US_ASCII).split(" ");
      return Long.parseLong(fields[1]) * PAGE_BYTES / 1024.0 / 1024.0;
    } catch (IOException notLinux) {
      Runtime runtime = Runtime.getRuntime();
      return (runtime.totalMemory() - runtime.freeMemory()) / 1024.0 / 1024.0;
    }
  }
}
