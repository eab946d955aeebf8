package dev.warmpool.runtime;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What docs/runtime-contract.md calls the launch settings. `launch.sh` hands them over outside of the environment. */
record Settings(
    String socketPath,
    String host,
    int port,
    String runtimeName,
    String runtimeVersion,
    List<String> preImport,
    boolean rehearses,
    boolean hasLifeline,
    int logBytes) {

  static final class Wrong extends Exception {
    Wrong(String message) {
      super(message, null, false, false);
    }
  }

  /** Lines of `NAME=value`. */
  static Settings parse(String text) throws Wrong {
    Map<String, String> given = new HashMap<>();
    for (String line : text.split("\n")) {
      int equals = line.indexOf('=');
      if (equals > 0 && equals < line.length() - 1) given.put(line.substring(0, equals), line.substring(equals + 1));
    }
    List<String> preImport = new ArrayList<>();
    for (String name : given.getOrDefault("WARMPOOL_PRE_IMPORT", "").split(",")) {
      if (!name.isBlank()) preImport.add(name.strip());
    }
    return new Settings(
        required(given, "WARMPOOL_SOCKET"),
        required(given, "WARMPOOL_HOST"),
        whole("WARMPOOL_PORT", required(given, "WARMPOOL_PORT"), 65_535),
        required(given, "WARMPOOL_RUNTIME_NAME"),
        required(given, "WARMPOOL_RUNTIME_VERSION"),
        preImport,
        flag(given, "WARMPOOL_REHEARSE", "1"),
        flag(given, "WARMPOOL_LIFELINE", "0"),
        whole("WARMPOOL_LOG_BYTES", given.getOrDefault("WARMPOOL_LOG_BYTES", "262144"), 1 << 30));
  }

  Settings forRehearsal(String rehearsalSocketPath) {
    return new Settings(
        rehearsalSocketPath, "127.0.0.1", 0, runtimeName, runtimeVersion, List.of(), false, false, logBytes);
  }

  private static String required(Map<String, String> given, String name) throws Wrong {
    String value = given.get(name);
    if (value == null) throw new Wrong(name + " is not set");
    return value;
  }

  private static boolean flag(Map<String, String> given, String name, String fallback) throws Wrong {
    String value = given.getOrDefault(name, fallback);
    if (value.equals("0") || value.equals("1")) return value.equals("1");
    throw new Wrong(name + " must be 0 or 1, not \"" + value + "\"");
  }

  private static int whole(String name, String text, int max) throws Wrong {
    try {
      int value = Integer.parseInt(text);
      if (value >= 1 && value <= max) return value;
    } catch (NumberFormatException notANumber) {
      // said below, as for a number that is too large
    }
    throw new Wrong(name + " must be a whole number from 1 to " + max + ", not \"" + text + "\"");
  }
}
