package dev.warmpool.runtime;

import java.util.LinkedHashMap;
import java.util.Map;

/** Every error that the agent answers: its stable code, its status, and a sentence that names the thing. */
final class AgentError extends Exception {
  enum Code {
    BadJson(400),
    BadRequest(400),
    RouteNotFound(404),
    RequestUnknown(404),
    MethodNotAllowed(405),
    PodNotStandby(409),
    RequestIdInUse(409),
    Draining(410),
    RuntimeMismatch(412),
    BodyTooLarge(413),
    UnsupportedMediaType(415),
    UserCodeError(422),
    HandlerNotFound(422),
    NotLoaded(425),
    QueueFull(429),
    Internal(500),
    ListenFailed(500),
    UserError(502),
    RequestKilled(502),
    InitTimeout(504),
    RequestTimeout(504);

    final int status;

    Code(int status) {
      this.status = status;
    }
  }

  final Code code;
  private final Map<String, Object> facts = new LinkedHashMap<>();

  AgentError(Code code, String message) {
    super(message, null, false, false);
    this.code = code;
  }

  /** `phase`, `stack`, `details` or `retryAfterSeconds` of the error body; nothing when the value is null. */
  AgentError with(String name, Object value) {
    if (value != null) facts.put(name, value);
    return this;
  }

  Object fact(String name) {
    return facts.get(name);
  }

  Map<String, Object> toBody() {
    Map<String, Object> body = new LinkedHashMap<>();
    body.put("statusCode", code.status);
    body.put("code", code.name());
    body.put("error", HttpStatus.reason(code.status));
    body.put("message", getMessage());
    body.putAll(facts);
    return body;
  }

  static AgentError late() {
    return new AgentError(Code.RequestTimeout, "the deadline passed before the request could start");
  }

  static AgentError ending() {
    return new AgentError(Code.Draining, "this instance is ending and takes no new requests");
  }
}
