package dev.warmpool.runtime;

import java.io.FileInputStream;
import java.io.IOException;
import java.util.Map;

/** Where this process is in its one life, numbered so that observers can order what they saw. */
final class Lifecycle {
  enum State { booting, standby, loading, ready, busy, draining, terminated, failed }

  final String epoch = randomWord();
  State state = State.booting;
  long seq;
  long sinceUnixMs = System.currentTimeMillis();
  Map<String, Object> lastError;

  /** Something that `/v1/status` shows has changed. */
  void touch() {
    seq++;
  }

  /** `failed` and `terminated` are final. */
  void moveTo(State next) {
    if (state == next || state == State.terminated) return;
    if (state == State.failed && next != State.terminated) return;
    state = next;
    sinceUnixMs = System.currentTimeMillis();
    seq++;
  }

  boolean isServing() {
    return state == State.ready || state == State.busy;
  }

  boolean isEnding() {
    return state == State.draining || state == State.terminated || state == State.failed;
  }

  /** From the kernel: a SecureRandom would load its providers for this alone, and leave them initialized. */
  static String randomWord() {
    byte[] bytes = new byte[16];
    try (FileInputStream random = new FileInputStream("/dev/urandom")) {
      random.readNBytes(bytes, 0, bytes.length);
    } catch (IOException error) {
      throw new IllegalStateException("/dev/urandom cannot be read: " + error.getMessage(), error);
    }
    StringBuilder word = new StringBuilder(32);
    for (byte each : bytes) word.append(Character.forDigit(each >> 4 & 15, 16)).append(Character.forDigit(each & 15, 16));
    return word.toString();
  }
}
