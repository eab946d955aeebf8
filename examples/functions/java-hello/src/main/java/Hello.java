import java.util.Map;

public class Hello {
  public static Map<String, Object> greet(Map<String, Object> event) {
    return Map.of("greeting", "Hello, " + event.getOrDefault("name", "world"));
  }
}
