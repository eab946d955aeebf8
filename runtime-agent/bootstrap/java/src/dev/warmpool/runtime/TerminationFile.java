package dev.warmpool.runtime;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** `termination.json` beside the socket: why the process ended, for whoever finds it dead. The first reason stands. */
final class TerminationFile {
  enum Reason {
    InitTimeout, RequestTimeout, UserCodeError, HandlerNotFound, ListenFailed, Crashed, Exited, Killed, BootFailed
  }

  private final File file;
  private boolean isWritten;

  TerminationFile(File file) {
    this.file = file;
    file.delete();
  }

  synchronized void write(Reason reason, String message, String requestId) {
    if (isWritten) return;
    isWritten = true;
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("reason", reason.name());
    body.put("message", message);
    if (requestId != null) body.put("requestId", requestId);
    body.put("atUnixMs", System.currentTimeMillis());
    File part = new File(file.getPath() + ".part");
    try (FileOutputStream out = new FileOutputStream(part)) {
      out.write(JsonWriter.write(body).getBytes(StandardCharsets.UTF_8));
    } catch (IOException error) {
      Output.tell("termination (" + reason + ": " + message + ") could not be written: " + error.getMessage());
      return;
    }
    part.renameTo(file);
  }
}
