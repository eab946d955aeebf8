import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;

public final class Misbehaving {
  public static Object handler(Map<String, Object> event) throws Exception {
    switch ((String) event.get("does")) {
      case "forkBomb":
        while (true) new ProcessBuilder("sleep", "60").start();
      case "hogMemory":
        List<byte[]> held = new ArrayList<>();
        while (true) {
          byte[] block = new byte[8 << 20];
          java.util.Arrays.fill(block, (byte) 1);
          held.add(block);
        }
      case "stopItself":
        new ProcessBuilder("kill", "-STOP", String.valueOf(ProcessHandle.current().pid())).start().waitFor();
        return "went on";
      case "scribble":
        for (int fd = 3; fd < 64; fd++) {
          // Java has no way to write to a descriptor but to open its file again: only pipes, since a file would be cut short for everybody
          if (!new java.io.File("/proc/self/fd/" + fd).getCanonicalPath().contains("pipe:")) continue;
          try (OutputStream out = new FileOutputStream("/proc/self/fd/" + fd)) {
            out.write("\u0000rubbish }{ HTTP/9\r\n".getBytes());
          } catch (Exception refused) {
            // not one to write to
          }
        }
        return "scribbled";
      case "exits":
        System.exit(0);
      case "replaceGlobals":
        PrintStream broken = new PrintStream(new OutputStream() {
          @Override
          public void write(int value) {
            throw new IllegalStateException("replaced");
          }
        });
        System.setOut(broken);
        System.setErr(broken);
        System.setIn(null);
        System.setProperties(new Properties());
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> { throw new IllegalStateException("replaced"); });
        Thread.currentThread().setContextClassLoader(null);
        java.util.TimeZone.setDefault(null);
        for (Thread each : Thread.getAllStackTraces().keySet()) if (each != Thread.currentThread()) each.interrupt();
        return "replaced";
      default:
        return Map.of("did", "nothing");
    }
  }
}
