import java.io.IOException;
import java.net.NetworkInterface;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

public class Inside {
  public static Object handle(Map<String, Object> event) throws Exception {
    return "takesAllMemory".equals(event.get("act")) ? takeAllMemory() : lookAround();
  }

  private static Map<String, Object> lookAround() throws Exception {
    Path code = Path.of(Inside.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    return Map.of(
        "user", Files.getAttribute(Path.of("/proc/self"), "unix:uid"),
        "capabilities", status("CapEff"),
        "interfaces", NetworkInterface.networkInterfaces().filter(Inside::isUp).map(NetworkInterface::getName).toList(),
        "root", refusal(Path.of("/written")),
        "code", refusal(code.resolve("written")));
  }

  private static boolean isUp(NetworkInterface each) {
    try {
      return each.isUp();
    } catch (IOException error) {
      return true;
    }
  }

  private static String status(String name) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith(name + ":")) return line.substring(name.length() + 1).trim();
    }
    return "";
  }

  private static String refusal(Path path) {
    try {
      Files.createFile(path);
      return "written";
    } catch (IOException error) {
      return error.getMessage().contains("Read-only file system") ? "EROFS" : error.toString();
    }
  }

  /** Beside the heap, whose own limit is below the container's. */
  private static Object takeAllMemory() {
    List<ByteBuffer> held = new ArrayList<>();
    for (; ; ) {
      ByteBuffer buffer = ByteBuffer.allocateDirect(8 * 1024 * 1024);
      while (buffer.hasRemaining()) buffer.putLong(1);
      held.add(buffer);
    }
  }
}
