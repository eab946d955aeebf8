package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Where this process listens, read from /proc: to tell an author that the port is another than the asked one. */
final class ListeningPorts {
  private static final String LISTENS = "0A";

  private ListeningPorts() {}

  static Set<String> addresses() {
    Set<String> inodes = socketInodes();
    Set<String> found = new TreeSet<>();
    for (String table : List.of("/proc/self/net/tcp", "/proc/self/net/tcp6")) {
      try {
        for (String row : Files.readAllLines(Path.of(table))) {
          String[] columns = row.strip().split("\\s+");
          if (columns.length > 9 && columns[3].equals(LISTENS) && inodes.contains(columns[9])) {
            found.add(inWords(columns[1]));
          }
        }
      } catch (IOException notLinux) {
        return found;
      }
    }
    return found;
  }

  private static Set<String> socketInodes() {
    Set<String> inodes = new HashSet<>();
    String[] descriptors = new File("/proc/self/fd").list();
    if (descriptors == null) return inodes;
    for (String each : descriptors) {
      try {
        String target = Files.readSymbolicLink(Path.of("/proc/self/fd", each)).toString();
        if (target.startsWith("socket:[")) inodes.add(target.substring("socket:[".length(), target.length() - 1));
      } catch (IOException closedMeanwhile) {
        // then nothing listens on it either
      }
    }
    return inodes;
  }

  /** Four bytes at a time, in the machine's byte order. An IPv4 address may be written as IPv6. */
  private static String inWords(String hex) throws IOException {
    int colon = hex.indexOf(':');
    byte[] bytes = new byte[colon / 2];
    for (int index = 0; index < bytes.length; index++) {
      int from = (index / 4 * 4 + 3 - index % 4) * 2;
      bytes[index] = (byte) Integer.parseInt(hex.substring(from, from + 2), 16);
    }
    InetAddress address = InetAddress.getByAddress(bytes);
    int port = Integer.parseInt(hex.substring(colon + 1), 16);
    String text = address.getHostAddress();
    return (text.indexOf(':') >= 0 ? "[" + text + "]" : text) + ":" + port;
  }
}
