import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.Map;

/** Small classes that go wrong, each in its own way. */
class Throws {
  static {
    connect();
  }

  static void connect() {
    if (true) throw new IllegalStateException("no database today");
  }

  public static Object handler(Object event) {
    return null;
  }
}

class Exits {
  static {
    System.exit(3);
  }

  public static Object handler(Object event) {
    return null;
  }
}

class ExitsWithZero {
  static {
    System.exit(0);
  }

  public static Object handler(Object event) {
    return null;
  }
}

class Spins {
  static volatile boolean isTrue = true;

  static {
    while (isTrue) {}
  }

  public static Object handler(Object event) {
    return null;
  }
}

class Waits {
  static {
    Pause.pause(1_000_000);
  }

  public static Object handler(Object event) {
    return null;
  }
}

class Slow {
  static {
    Pause.pause(300);
  }

  public static Object handler(Object event) {
    return Map.of("ok", true);
  }
}

class Pause {
  static void pause(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }
}

class Other {
  public static Object other(Object event) {
    return null;
  }
}

class Constant {
  public static final Object handler = "not a function";
}

class HttpApp {
  public static void main(String[] args) throws Exception {
    serve(Integer.parseInt(System.getenv("PORT")));
  }

  static void serve(int port) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/", exchange -> {
      String body = new String(exchange.getRequestBody().readAllBytes(), "UTF-8");
      System.out.println("served " + exchange.getRequestURI());
      String reply = "{\"method\":\"" + exchange.getRequestMethod() + "\",\"url\":\"" + exchange.getRequestURI()
          + "\",\"body\":\"" + body + "\"}";
      byte[] bytes = reply.getBytes("UTF-8");
      if (exchange.getRequestURI().getPath().equals("/exit")) System.exit(5);
      if (exchange.getRequestURI().getPath().equals("/stream")) {
        exchange.sendResponseHeaders(200, 0);
        for (String piece : new String[] {"one ", "two ", "three"}) {
          exchange.getResponseBody().write(piece.getBytes("UTF-8"));
          exchange.getResponseBody().flush();
          Pause.pause(150);
        }
        exchange.close();
        return;
      }
      exchange.getResponseHeaders().add("content-type", "application/json");
      exchange.sendResponseHeaders(200, bytes.length);
      exchange.getResponseBody().write(bytes);
      exchange.close();
    });
    server.start();
  }
}

class HttpNeverListens {
  public static void main(String[] args) throws Exception {
    Thread.sleep(1_000_000);
  }
}

class HttpWrongPort {
  public static void main(String[] args) throws Exception {
    HttpApp.serve(0);
  }
}

class HttpThrows {
  public static void main(String[] args) {
    throw new IllegalStateException("no database today");
  }
}
