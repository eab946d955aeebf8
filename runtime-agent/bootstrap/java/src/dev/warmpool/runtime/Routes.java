package dev.warmpool.runtime;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The routes of docs/runtime-contract.md on the unix socket. */
final class Routes implements HttpServer {
  private static final String CONTRACT_VERSION = "1.0";
  private static final int LOAD_LIMIT_BYTES = 2 * 1024 * 1024;
  private static final int KILL_LIMIT_BYTES = 64 * 1024;
  private static final Map<String, String> METHODS = Map.of(
      "/v1/load", "POST", "/v1/invoke", "POST", "/v1/kill", "POST",
      "/v1/health", "GET", "/v1/status", "GET", "/v1/logs", "GET");
  private final Agent agent;

  Routes(Agent agent) {
    this.agent = agent;
  }

  @Override
  public int bodyLimitBytes(HttpRequest head) {
    return switch (head.path) {
      case "/v1/load" -> LOAD_LIMIT_BYTES;
      case "/v1/invoke" -> InvokeRoute.BODY_LIMIT_BYTES;
      default -> KILL_LIMIT_BYTES;
    };
  }

  @Override
  public void serve(HttpRequest request, HttpConnection connection) {
    try {
      String method = METHODS.get(request.path);
      if (method == null) {
        throw new AgentError(AgentError.Code.RouteNotFound, "there is no route " + request.path);
      }
      if (!method.equals(request.method)) {
        String words = request.path + " takes " + method + ", not " + request.method;
        connection.answerError(new AgentError(AgentError.Code.MethodNotAllowed, words), Map.of("allow", method));
        return;
      }
      switch (request.path) {
        case "/v1/load" -> load(request, connection);
        case "/v1/invoke" -> agent.invokeRoute.serve(request, connection, "POST", "/");
        case "/v1/health" -> health(request, connection);
        case "/v1/status" -> status(request, connection);
        case "/v1/kill" -> kill(request, connection);
        default -> logs(request, connection);
      }
    } catch (AgentError error) {
      connection.answerError(error, Map.of());
    }
  }

  private void load(HttpRequest request, HttpConnection connection) throws AgentError {
    LoadRequest load = LoadRequest.parse(jsonOf(request, LOAD_LIMIT_BYTES));
    agent.loader.load(load, (reply, error) -> {
      if (error == null) connection.answerJson(200, reply, Map.of());
      else connection.answerError(error, Map.of());
    });
  }

  private void health(HttpRequest request, HttpConnection connection) {
    Lifecycle.State state = agent.lifecycle.state;
    boolean isReady = state == Lifecycle.State.standby || agent.lifecycle.isServing();
    boolean isAsked = "ready".equals(request.query().get("probe"));
    Map<String, Object> health = new LinkedHashMap<>();
    health.put("contract", CONTRACT_VERSION);
    health.put("state", state.name());
    health.put("epoch", agent.lifecycle.epoch);
    connection.answerJson(isAsked && !isReady ? 503 : 200, health, Map.of());
  }

  private void status(HttpRequest request, HttpConnection connection) throws AgentError {
    Lifecycle lifecycle = agent.lifecycle;
    Invocations invocations = agent.invocations;
    LoadRequest load = agent.loader.accepted;
    Map<String, Object> status = new LinkedHashMap<>();
    status.put("contract", CONTRACT_VERSION);
    status.put("state", lifecycle.state.name());
    status.put("epoch", lifecycle.epoch);
    status.put("seq", lifecycle.seq);
    status.put("sinceUnixMs", lifecycle.sinceUnixMs);
    if (load != null) {
      status.put("claimId", load.claimId());
      status.put("digest", load.digest());
      status.put("fence", load.fence());
      status.put("port", agent.settings.port());
    }
    status.put("host", agent.settings.host());
    status.put("runtime", Map.of("name", agent.settings.runtimeName(), "version", agent.settings.runtimeVersion()));
    status.put("pid", ProcessFacts.PID);
    status.put("uptimeMs", (System.nanoTime() - ProcessFacts.STARTED_NANOS) / 1e6);
    status.put("inFlight", invocations.inFlight());
    status.put("executions", invocations.executions);
    if (invocations.idleSinceUnixMs > 0) status.put("idleSinceUnixMs", invocations.idleSinceUnixMs);
    status.put("rssMiB", ProcessFacts.residentMiB());
    if (lifecycle.lastError != null) status.put("lastError", lifecycle.lastError);
    String requestId = request.query().get("requestId");
    if (requestId == null) {
      status.put("requests", invocations.requests.list());
    } else {
      RequestLog.Entry entry = invocations.requests.find(requestId);
      if (entry == null) {
        throw new AgentError(AgentError.Code.RequestUnknown, "no request " + requestId + " is known here");
      }
      status.put("requests", List.of(entry.shown()));
    }
    connection.answerJson(200, status, Map.of());
  }

  private void kill(HttpRequest request, HttpConnection connection) throws AgentError {
    KillRequest kill = KillRequest.parse(jsonOf(request, KILL_LIMIT_BYTES));
    if (kill.requestId() != null) {
      Invocations.Killed killed = agent.invocations.kill(kill);
      Map<String, Object> reply = new LinkedHashMap<>();
      reply.put("requestId", kill.requestId());
      reply.put("state", killed.state().name());
      connection.answerJson(killed.isUnderWay() ? 202 : 200, reply, Map.of());
      killed.afterAnswer().run();
      return;
    }
    connection.answerJson(202, Map.of("state", kill.isForced() ? "terminated" : "draining"), Map.of());
    if (!kill.isForced()) agent.ending.drain(kill.graceMs(), "/v1/kill");
    else {
      String words = kill.reason().isEmpty() ? "killed by /v1/kill" : "killed: " + kill.reason();
      agent.ending.discard(TerminationFile.Reason.Killed, words, null);
    }
  }

  private void logs(HttpRequest request, HttpConnection connection) throws AgentError {
    Map<String, String> query = request.query();
    String limit = query.get("limitBytes");
    if (limit != null && !limit.matches("\\d{1,15}")) {
      String rule = "must be a whole number of bytes";
      throw new AgentError(AgentError.Code.BadRequest, "limitBytes " + rule + ", not \"" + limit + "\"")
          .with("details", List.of(Map.of("field", "limitBytes", "message", rule)));
    }
    long limitBytes = limit == null ? Long.MAX_VALUE : Long.parseLong(limit);
    connection.answerJson(200, agent.logs.read(query.get("requestId"), limitBytes), Map.of());
  }

  private static Object jsonOf(HttpRequest request, int limitBytes) throws AgentError {
    String type = request.header("content-type");
    if (!Event.isJson(type)) {
      String words = "the content type must be application/json, not \"" + (type == null ? "" : type) + "\"";
      throw new AgentError(AgentError.Code.UnsupportedMediaType, words);
    }
    if (request.isOversized) throw tooLarge(limitBytes);
    return Event.parseJson(request.body);
  }

  static AgentError tooLarge(int limitBytes) {
    return new AgentError(AgentError.Code.BodyTooLarge, "the body is larger than " + limitBytes + " bytes");
  }
}
