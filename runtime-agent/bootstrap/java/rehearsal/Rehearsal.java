import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.function.Function;

/** Touches what functions commonly touch. It is loaded and forgotten before a process is standby. */
public final class Rehearsal implements BiFunction<Map<String, Object>, Map<String, Object>, Object> {
  public static final Function<Map<String, Object>, Object> FUNCTION = event -> run(event, Map.of());
  private static final Map<String, String> ENV = new HashMap<>(System.getenv());

  @Override
  public Object apply(Map<String, Object> event, Map<String, Object> context) {
    return run(event, context);
  }

  public static Object answer(Map<String, Object> event) {
    return run(event, Map.of());
  }

  public static Object run(Map<String, Object> event, Map<String, Object> context) {
    if (event.containsKey("fails")) throw new IllegalArgumentException("as it should");
    if (event.containsKey("streams")) return List.of("one", "two").iterator();
    List<Object> parts = new ArrayList<>(List.of("a", 1, 2.5, true));
    for (String name : ENV.keySet()) parts.add(name);
    parts.add("a word, " + event.get("text"));
    parts.add(event.get("text") + " and " + event.get("index"));
    System.out.println("rehearsed " + parts.size());
    System.err.println("rehearsed");
    Map<String, Object> reply = new LinkedHashMap<>();
    reply.put("event", event);
    reply.put("parts", parts);
    reply.put("digest", digestOf(String.join(" ", ENV.keySet())));
    return reply;
  }

  private static String digestOf(String text) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      StringBuilder hex = new StringBuilder();
      for (byte each : digest) hex.append(Character.forDigit(each >> 4 & 15, 16));
      return hex.toString();
    } catch (java.security.NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }
}
