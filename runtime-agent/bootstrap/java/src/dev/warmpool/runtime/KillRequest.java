package dev.warmpool.runtime;

import java.util.Map;

/** The body of `/v1/kill`, with its defaults. */
record KillRequest(String requestId, boolean isForced, long graceMs, String reason) {
  private static final long DEFAULT_GRACE_MS = 1_000;
  private static final long LONGEST_GRACE_MS = 60_000;

  static KillRequest parse(Object body) throws AgentError {
    FieldChecks checks = new FieldChecks();
    Map<String, Object> request = checks.object("", body, "requestId", "mode", "graceMs", "reason");
    if (request != null) {
      if (request.containsKey("requestId")) checks.shaped("requestId", request.get("requestId"), FieldChecks.REQUEST_ID);
      if (request.containsKey("mode")) checks.oneOf("mode", request.get("mode"), "graceful", "force");
      if (request.containsKey("graceMs")) checks.whole("graceMs", request.get("graceMs"), 0, LONGEST_GRACE_MS);
      if (request.containsKey("reason")) checks.text("reason", request.get("reason"), 256, 0);
    }
    checks.refuseProblems("kill");
    Object graceMs = request.get("graceMs");
    return new KillRequest(
        (String) request.get("requestId"),
        "force".equals(request.get("mode")),
        graceMs == null ? DEFAULT_GRACE_MS : FieldChecks.wholeOf(graceMs),
        (String) request.getOrDefault("reason", ""));
  }
}
