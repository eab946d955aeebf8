import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import java.util.Calendar;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;

/** The handler that most cases of the conformance kit use. */
public final class Acts {
  private static final Map<String, String> IMPORT_ENV = new HashMap<>(System.getenv());
  private static final AtomicInteger RUNNING = new AtomicInteger();
  private static final AtomicInteger MOST = new AtomicInteger();

  @SuppressWarnings("unchecked")
  public static Object run(Object event, Map<String, Object> context) throws Exception {
    if (event instanceof String text) return Map.of("type", "text", "length", text.length());
    if (event instanceof byte[] bytes) return Map.of("type", "bytes", "length", bytes.length);
    if (!(event instanceof Map)) return Map.of("type", "json", "length", event instanceof List<?> list ? list.size() : 0);
    Map<String, Object> input = (Map<String, Object>) event;
    switch ((String) input.getOrDefault("act", "echo")) {
      case "echo":
        return echo(event, context);
      case "env":
        return System.getenv();
      case "importEnv":
        return IMPORT_ENV;
      case "where":
        String[] argv = {System.getProperty("java.home") + "/bin/java", System.getProperty("java.class.path")};
        return Map.of("cwd", java.nio.file.Path.of("").toAbsolutePath().toString(), "argv", argv);
      case "hour":
        Calendar epoch = Calendar.getInstance();
        epoch.setTimeInMillis(0);
        return Map.of("hour", epoch.get(Calendar.HOUR_OF_DAY));
      case "log":
        System.out.println(input.get("text"));
        System.err.println("error: " + input.get("text"));
        return null;
      case "logTwice":
        System.out.println(input.get("text") + " begins");
        Thread.sleep(intOf(input, "ms"));
        System.out.println(input.get("text") + " ends");
        return null;
      case "write":
        System.out.print(input.get("text"));
        return null;
      case "rubbish":
        System.out.write(new byte[] {0, (byte) 255, (byte) 254, (byte) 195, '\n'}, 0, 5);
        System.out.flush();
        return null;
      case "longLine":
        System.out.println("x".repeat(intOf(input, "sizeBytes")));
        return null;
      case "throw":
        throw new IllegalStateException((String) input.get("message"));
      case "wait":
        Thread.sleep(intOf(input, "ms"));
        return Map.of("waited", input.get("ms"));
      case "overlap":
        MOST.accumulateAndGet(RUNNING.incrementAndGet(), Math::max);
        Thread.sleep(intOf(input, "ms"));
        RUNNING.decrementAndGet();
        return Map.of("most", MOST.get());
      case "stubborn":
        return stubborn(intOf(input, "ms"));
      case "spin":
        for (;;) {}
      case "exit":
        System.exit(intOf(input, "exitCode"));
        return null;
      case "respond":
        return input.get("reply");
      case "nothing":
        return null;
      case "bytes":
        byte[] bytes = new byte[intOf(input, "sizeBytes")];
        Arrays.fill(bytes, (byte) 7);
        return bytes;
      case "stream":
        return stream((List<?>) input.get("pieces"), intOf(input, "ms"), input.get("failsAfter"));
      case "traces":
        return traces();
      default:
        throw new IllegalArgumentException("unknown act");
    }
  }

  private static Iterator<Object> stream(List<?> pieces, int ms, Object failsAfter) {
    return new Iterator<>() {
      private int at;

      @Override
      public boolean hasNext() {
        return at < pieces.size();
      }

      @Override
      public Object next() {
        if (failsAfter instanceof Number number && number.intValue() == at) {
          throw new IllegalStateException("the source dried up");
        }
        try {
          if (at > 0) Thread.sleep(ms);
        } catch (InterruptedException stopped) {
          throw new IllegalStateException(stopped);
        }
        return pieces.get(at++);
      }
    };
  }

  private static int intOf(Map<String, Object> input, String name) {
    return ((Number) input.get(name)).intValue();
  }

  private static Object echo(Object event, Map<String, Object> context) {
    Map<String, Object> shown = new LinkedHashMap<>(context);
    shown.remove("isCancelled");
    shown.put("remainingTimeMs", ((LongSupplier) context.get("remainingTimeMs")).getAsLong());
    return Map.of("event", event, "context", shown);
  }

  private static Object stubborn(int ms) {
    long end = System.nanoTime() + ms * 1_000_000L;
    System.out.println("stubborn");
    while (System.nanoTime() < end) {
      try {
        Thread.sleep(10);
      } catch (InterruptedException notHeeded) {
        // this is what makes it stubborn
      }
    }
    return Map.of("waited", ms);
  }

  private static List<String> traces() {
    List<String> traces = new ArrayList<>();
    for (Map.Entry<Object, Object> each : System.getProperties().entrySet()) {
      if (isTrace(each.getKey() + "=" + each.getValue())) traces.add("property " + each);
    }
    for (String name : System.getenv().keySet()) if (isTrace(name)) traces.add("env " + name);
    for (String name : new java.io.File("..").list()) if (isTrace(name)) traces.add("file " + name);
    for (Thread thread : Thread.getAllStackTraces().keySet()) {
      if (thread.getName().contains("rehears")) traces.add("thread " + thread.getName());
    }
    for (String name : new String[] {"Rehearsal", "dev.warmpool.runtime.Main", "dev.warmpool.runtime.Agent"}) {
      for (ClassLoader loader : new ClassLoader[] {Acts.class.getClassLoader(), ClassLoader.getSystemClassLoader()}) {
        try {
          traces.add("class " + Class.forName(name, false, loader));
        } catch (ClassNotFoundException asItShouldBe) {
          // nothing of the agent is on the way
        }
      }
    }
    return traces;
  }

  private static boolean isTrace(String text) {
    return text.toLowerCase(java.util.Locale.ROOT).matches(".*(rehears|warmpool_|bootstrap/java).*");
  }
}
