package dev.warmpool.runtime;

import com.sun.net.httpserver.HttpServer;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.Map;

/** What a platform without standby pods runs: start Java with the code on its class path, import the handler, serve it. */
public final class ColdHandler {
  public static void main(String[] args) throws Throwable {
    long started = System.nanoTime();
    Handler handler = new HandlerFinder(ColdHandler.class.getClassLoader(), args[0]).find();
    System.out.println("import " + (System.nanoTime() - started) / 1e6);
    int port = Integer.parseInt(System.getenv("PORT"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/", exchange -> {
      try (OutputStream body = exchange.getResponseBody()) {
        Event event = Event.of("application/json", exchange.getRequestBody().readAllBytes());
        byte[] reply = Result.of(handler.call(event, Map.of())).body();
        exchange.sendResponseHeaders(200, reply.length);
        body.write(reply);
      } catch (Throwable error) {
        error.printStackTrace();
      }
    });
    server.start();
  }
}
