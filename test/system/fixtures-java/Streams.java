import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Answers piece by piece, in every form that Java has. `form` says which; the rest is read by {@link Source}. */
public class Streams {
  static int made;
  static int closed;

  public static Object run(Map<String, Object> event) {
    String form = (String) event.get("form");
    Source source = new Source(event);
    switch (form) {
      case "counts":
        return Map.of("made", made, "closed", closed);
      case "iterator":
        return source;
      case "stream":
        return source.stream();
      case "parallel":
        return IntStream.range(0, 1000).parallel().mapToObj(number -> number + "\n").onClose(source::close);
      case "flatMap":
        return Stream.of(1).flatMap(one -> source.stream());
      case "input":
        return new SourceInput(source);
      case "later":
        return CompletableFuture.supplyAsync(() -> source);
      case "body":
        return Map.of("statusCode", ((Number) event.getOrDefault("status", 201)).intValue(),
            "headers", event.getOrDefault("headers", Map.of("Content-Type", "text/event-stream")), "body", source);
      case "bytes":
        return Stream.of("ž", new byte[] {(byte) 0xff, 0}, new StringBuilder("!"), "");
      case "number":
        return Stream.of("one ", 2).onClose(source::close);
      case "large":
        return Stream.of("x".repeat(1_000_000), new byte[200_000]);
      case "list":
        return List.of("one", "two");
      case "set":
        return new LinkedHashSet<>(List.of("one", "two"));
      case "iterable":
        return (Iterable<String>) () -> List.of("one", "two").iterator();
      default:
        throw new IllegalArgumentException(form);
    }
  }
}

/**
 * Gives `pieces`, or `count` times 64 KiB. Before the piece `at` it waits for the file `gate` to appear, or fails. `isDeaf`: an
 * interrupt does not stop it. `closesSlowly`: closing takes a moment. `tells` of each piece.
 */
final class Source implements Iterator<Object>, AutoCloseable {
  private final Map<String, Object> event;
  private final List<?> pieces;
  private int index;

  Source(Map<String, Object> event) {
    this.event = event;
    pieces = (List<?>) event.get("pieces");
  }

  Stream<Object> stream() {
    return Stream.generate(() -> hasNext() ? next() : "").takeWhile(piece -> !"".equals(piece)).onClose(this::close);
  }

  @Override
  public boolean hasNext() {
    return index < (pieces == null ? ((Number) event.get("count")).intValue() : pieces.size());
  }

  @Override
  public Object next() {
    if (event.get("at") instanceof Number at && at.intValue() == index) {
      if (event.get("gate") instanceof String gate) awaitFile(Path.of(gate));
      else throw new IllegalStateException("the source dried up");
    }
    Streams.made++;
    if (event.get("tells") != null) System.out.println("made");
    Object piece = pieces == null ? new byte[64 * 1024] : pieces.get(index);
    index++;
    return piece;
  }

  private void awaitFile(Path gate) {
    while (!Files.exists(gate)) {
      try {
        if (event.get("isDeaf") == null) Thread.sleep(5);
      } catch (InterruptedException told) {
        throw new IllegalStateException("stopped", told);
      }
    }
  }

  @Override
  public void close() {
    try {
      if (event.get("closesSlowly") != null) Thread.sleep(50);
      Streams.closed++;
      System.out.println("closed");
    } catch (InterruptedException told) {
      System.out.println("interrupted while it closed");
    }
  }
}

final class SourceInput extends InputStream {
  private final Source source;

  SourceInput(Source source) {
    this.source = source;
  }

  @Override
  public int read() {
    throw new UnsupportedOperationException("read in arrays");
  }

  @Override
  public int read(byte[] bytes, int offset, int length) {
    if (!source.hasNext()) return -1;
    Object piece = source.next();
    byte[] given = piece instanceof byte[] raw ? raw : piece.toString().getBytes(StandardCharsets.UTF_8);
    int count = Math.min(length, given.length);
    System.arraycopy(given, 0, bytes, offset, count);
    return count;
  }

  @Override
  public void close() throws IOException {
    source.close();
  }
}
