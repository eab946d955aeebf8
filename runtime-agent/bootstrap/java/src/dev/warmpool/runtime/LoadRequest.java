package dev.warmpool.runtime;

import java.util.Map;
import java.util.regex.Pattern;

/** The body of `/v1/load`. */
record LoadRequest(
    String claimId,
    long fence,
    Map<String, Object> function,
    String runtimeName,
    String runtimeVersion,
    boolean isApp,
    String handler,
    String codePath,
    String digest,
    Map<String, String> env,
    Map<String, Object> service,
    long requestTimeoutMs,
    long initTimeoutMs) {

  private static final Pattern ENV_NAME = Pattern.compile("[A-Za-z_][A-Za-z0-9_]{0,255}");
  private static final int ENV_VARIABLES = 1000;
  private static final int ENV_VALUE_CHARACTERS = 32 * 1024;
  private static final int ENV_CHARACTERS = 256 * 1024;
  private static final Pattern SERVICE_NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._/-]{0,127}");
  private static final int SERVICE_ENTRIES = 64;
  private static final int SERVICE_CHARACTERS = 1024;

  LoadRequest withFence(long newFence) {
    return new LoadRequest(claimId, newFence, function, runtimeName, runtimeVersion, isApp, handler, codePath, digest, env,
        service, requestTimeoutMs, initTimeoutMs);
  }

  static LoadRequest parse(Object body) throws AgentError {
    FieldChecks checks = new FieldChecks();
    Map<String, Object> request = checks.object("", body,
        "claimId", "fence", "function", "runtime", "kind", "handler", "code", "env", "service", "limits");
    if (request != null) check(checks, request);
    checks.refuseProblems("load");
    return of(request);
  }

  private static void check(FieldChecks checks, Map<String, Object> request) {
    checks.shaped("claimId", request.get("claimId"), FieldChecks.DNS_LABEL);
    checks.whole("fence", request.get("fence"), 0, FieldChecks.MAX_SAFE_INTEGER);
    Map<String, Object> function = checks.object("function", request.get("function"), "name", "version", "tenant");
    if (function != null) {
      checks.shaped("function.name", function.get("name"), FieldChecks.FUNCTION_NAME);
      checks.shaped("function.version", function.get("version"), FieldChecks.FUNCTION_VERSION);
      checks.shaped("function.tenant", function.get("tenant"), FieldChecks.DNS_LABEL);
    }
    Map<String, Object> runtime = checks.object("runtime", request.get("runtime"), "name", "version");
    if (runtime != null) {
      checks.shaped("runtime.name", runtime.get("name"), FieldChecks.RUNTIME_NAME);
      checks.shaped("runtime.version", runtime.get("version"), FieldChecks.RUNTIME_VERSION);
    }
    checks.oneOf("kind", request.get("kind"), "handler", "http");
    checks.shaped("handler", request.get("handler"), FieldChecks.HANDLER);
    Map<String, Object> code = checks.object("code", request.get("code"), "path", "digest");
    if (code != null) {
      checks.text("code.path", code.get("path"), 4096, 1);
      checks.shaped("code.digest", code.get("digest"), FieldChecks.DIGEST);
    }
    checkEnv(checks, request.get("env"));
    checkService(checks, request.get("service"));
    Map<String, Object> limits = checks.object("limits", request.get("limits"), "requestTimeoutMs", "initTimeoutMs", "concurrency");
    if (limits != null) {
      checks.whole("limits.requestTimeoutMs", limits.get("requestTimeoutMs"), 1, FieldChecks.MAX_SAFE_INTEGER);
      checks.whole("limits.initTimeoutMs", limits.get("initTimeoutMs"), 1, FieldChecks.MAX_SAFE_INTEGER);
      if (limits.containsKey("concurrency")) checks.whole("limits.concurrency", limits.get("concurrency"), 1, 1_000);
    }
  }

  private static void checkEnv(FieldChecks checks, Object value) {
    Map<String, Object> env = checks.record("env", value);
    if (env == null) return;
    int characters = 0;
    for (Map.Entry<String, Object> entry : env.entrySet()) {
      String field = "env." + entry.getKey();
      if (!ENV_NAME.matcher(entry.getKey()).matches()) {
        checks.refuse(field, "this name must be of letters, digits and \"_\", not starting with a digit");
      }
      checks.text(field, entry.getValue(), ENV_VALUE_CHARACTERS, 0);
      if (!(entry.getValue() instanceof String text)) continue;
      if (text.indexOf('\0') >= 0) checks.refuse(field, "must not contain a NUL character");
      characters += entry.getKey().length() + text.length();
    }
    if (env.size() > ENV_VARIABLES) checks.refuse("env", "must not hold more than " + ENV_VARIABLES + " variables");
    if (characters > ENV_CHARACTERS) {
      checks.refuse("env", "must not be larger than " + ENV_CHARACTERS + " characters in all");
    }
  }

  private static void checkService(FieldChecks checks, Object value) {
    Map<String, Object> service = checks.record("service", value);
    if (service == null) return;
    for (Map.Entry<String, Object> entry : service.entrySet()) {
      String field = "service." + entry.getKey();
      if (!SERVICE_NAME.matcher(entry.getKey()).matches()) {
        checks.refuse(field, "this name must be 1 to 128 letters, digits, \".\", \"_\", \"/\" or \"-\"");
      }
      checks.text(field, entry.getValue(), SERVICE_CHARACTERS, 0);
    }
    if (service.size() > SERVICE_ENTRIES) {
      checks.refuse("service", "must not hold more than " + SERVICE_ENTRIES + " entries");
    }
  }

  /** Of a body that was checked. */
  @SuppressWarnings("unchecked")
  private static LoadRequest of(Map<String, Object> request) {
    Map<String, String> runtime = (Map<String, String>) request.get("runtime");
    Map<String, String> code = (Map<String, String>) request.get("code");
    Map<String, Object> limits = (Map<String, Object>) request.get("limits");
    return new LoadRequest(
        (String) request.get("claimId"),
        FieldChecks.wholeOf(request.get("fence")),
        (Map<String, Object>) request.get("function"),
        runtime.get("name"),
        runtime.get("version"),
        request.get("kind").equals("http"),
        (String) request.get("handler"),
        code.get("path"),
        code.get("digest"),
        (Map<String, String>) request.get("env"),
        (Map<String, Object>) request.get("service"),
        FieldChecks.wholeOf(limits.get("requestTimeoutMs")),
        FieldChecks.wholeOf(limits.get("initTimeoutMs")));
  }
}
