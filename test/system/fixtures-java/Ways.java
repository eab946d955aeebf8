import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiFunction;
import java.util.function.Function;

/** Handlers in the forms that Java has, and functions that misbehave. */
public class Ways {
  public static final Function<Object, Object> FIELD = event -> Map.of("form", "field");

  public static Object nothing() {
    return "no parameters";
  }

  public Object instance(Map<String, Object> event, Map<String, Object> context) {
    return List.of(event.get("n"), context.get("claimId"));
  }

  public static Object raw(byte[] body) {
    return new String(body).length();
  }

  public static Object text(String body) {
    return body.toUpperCase(Locale.ROOT);
  }

  public static Object record(Object event) {
    return new Point(1, "ž", List.of(new Point(2, null, null)));
  }

  public static Object later(Object event) {
    return CompletableFuture.supplyAsync(() -> Map.of("later", true));
  }

  public static Object notJson(Object event) {
    return new Object();
  }

  public static Object badHeader(Object event) {
    return Map.of("statusCode", 200, "headers", Map.of("x-a", "1\r\nx-b: 2"));
  }

  public static Object child(Object event) throws Exception {
    Process env = new ProcessBuilder("env").start();
    String untouched = new String(env.getInputStream().readAllBytes());
    ProcessBuilder builder = new ProcessBuilder("env");
    builder.environment().put("MORE", "1");
    String touched = new String(builder.start().getInputStream().readAllBytes());
    String first = Files.readString(Path.of("/proc/self/environ")).replace('\0', '\n');
    return Map.of("untouched", untouched, "touched", touched, "first", first);
  }

  public static Object relative(Object event) throws Exception {
    byte[] plain = new FileInputStream("notes/hello.txt").readAllBytes();
    String listed = String.join(",", new TreeSet<>(List.of(new File(".").list())));
    return Map.of("nio", Files.readString(Path.of("notes/hello.txt")), "io", new String(plain), "listed", listed,
        "absolute", new File("notes").getAbsolutePath());
  }

  public static Object locale(Object event) {
    return Locale.getDefault().toString();
  }

  public static Object hog(Object event) {
    List<byte[]> kept = new ArrayList<>();
    for (;;) kept.add(new byte[1024 * 1024]);
  }

  private static Object[] chain;

  /** In pieces so small that nothing is left, which stay held whatever is thrown. */
  public static Object hogForEver(Object event) {
    for (;;) chain = new Object[] {chain};
  }

  /** Whoever else wants memory from here on is the one that finds none. */
  public static Object hogInAnotherThread(Object event) throws Exception {
    Thread hog = new Thread(() -> {
      try {
        hogForEver(event);
      } catch (OutOfMemoryError full) {
        // nobody is told
      }
    });
    hog.start();
    Thread.sleep(60_000);
    return "nobody else wanted any";
  }

  public static Object halt(Object event) {
    Runtime.getRuntime().halt(7);
    return null;
  }

  public static Object closeEverything(Object event) throws Exception {
    System.in.close();
    System.out.close();
    System.err.close();
    for (FileDescriptor each : new FileDescriptor[] {FileDescriptor.out, FileDescriptor.err}) {
      new FileOutputStream(each).close();
    }
    new FileInputStream(FileDescriptor.in).close();
    System.out.println("into nothing");
    return "closed";
  }

  public static Object interruptEveryone(Object event) {
    for (Thread each : Thread.getAllStackTraces().keySet()) if (each != Thread.currentThread()) each.interrupt();
    return "interrupted";
  }

  public static Object leaveThreads(Map<String, Object> event) {
    for (int index = 0; index < 20; index++) {
      new Thread(() -> {
        for (;;) java.util.concurrent.locks.LockSupport.parkNanos(1_000_000);
      }).start();
    }
    return "left";
  }

  public static Object rubbish(Object event) {
    System.out.write(new byte[] {(byte) 0xff, (byte) 0xfe, 0, 10}, 0, 4);
    System.out.println("HTTP/1.1 200 OK\r\n\r\n{}");
    return "written";
  }

  public static Object hook(Object event) {
    Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("the hook ran")));
    return null;
  }

  public static Object hookAndExit(Object event) {
    hook(event);
    System.exit(0);
    return null;
  }

  public static Object exitInThread(Object event) throws Exception {
    new Thread(() -> System.exit(9)).start();
    Thread.sleep(60_000);
    return null;
  }

  public static Object sleeps(Object event) throws Exception {
    Thread.sleep(60_000);
    return null;
  }

  /** What a function can see of the process that it did not make itself. */
  public static Object inventory(Object event) throws Exception {
    Map<String, Object> seen = new TreeMap<>();
    Map<String, String> properties = new TreeMap<>();
    for (String name : System.getProperties().stringPropertyNames()) properties.put(name, System.getProperty(name));
    seen.put("properties", properties);
    seen.put("env", new TreeMap<>(System.getenv()));
    TreeSet<String> threads = new TreeSet<>();
    for (Thread each : Thread.getAllStackTraces().keySet()) threads.add(each.getName() + " " + each.isDaemon());
    seen.put("threads", threads);
    seen.put("nextThread", new Thread(() -> {}).getName() + " " + new Thread("x").getId());
    seen.put("interrupted", Thread.interrupted());
    seen.put("files", openFiles());
    seen.put("zone", TimeZone.getDefault().getID());
    seen.put("locale", Locale.getDefault().toString() + Locale.getDefault(Locale.Category.FORMAT));
    seen.put("loader", Thread.currentThread().getContextClassLoader() == Ways.class.getClassLoader());
    seen.put("systemLoader", ClassLoader.getSystemClassLoader() == Ways.class.getClassLoader());
    seen.put("packages", packages());
    seen.put("output", System.out.getClass().getName() + System.err.getClass().getName() + System.in.getClass().getName());
    seen.put("uncaught", String.valueOf(Thread.getDefaultUncaughtExceptionHandler()));
    seen.put("folder", new TreeSet<>(List.of(new File("..").getCanonicalFile().list())));
    List<String> providers = new ArrayList<>();
    for (java.security.Provider each : java.security.Security.getProviders()) providers.add(each.getName());
    seen.put("providers", providers);
    return seen;
  }

  private static TreeSet<String> packages() {
    TreeSet<String> names = new TreeSet<>();
    for (Package each : Ways.class.getClassLoader().getDefinedPackages()) names.add(each.getName());
    return names;
  }

  private static List<String> openFiles() throws Exception {
    List<String> files = new ArrayList<>();
    for (String name : new File("/proc/self/fd").list()) {
      try {
        files.add(Files.readSymbolicLink(Path.of("/proc/self/fd", name)).toString().replaceAll("\\d+", "N"));
      } catch (java.nio.file.NoSuchFileException listing) {
        // the descriptor of the listing itself
      }
    }
    files.sort(null);
    return files;
  }

  public record Point(int x, String y, List<Point> more) {}
}

class Whole implements Function<Map<String, Object>, String> {
  @Override
  public String apply(Map<String, Object> event) {
    return "whole " + event.get("n");
  }
}

class Both implements BiFunction<byte[], Map<String, Object>, Object> {
  @Override
  public Object apply(byte[] body, Map<String, Object> context) {
    return body.length + " " + context.get("requestId");
  }
}

class MainReturns {
  public static void main(String[] args) {}
}

class HogsAtOnce {
  private static final Object HELD = Ways.hogForEver(null);

  public static Object handle(Object event) {
    return HELD;
  }
}
