package dev.warmpool.runtime;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** The checks that the schemas of protocol/ make, collecting what is wrong with the fields of one body. */
final class FieldChecks {
  record Shape(Pattern pattern, String rule) {}

  static final long MAX_SAFE_INTEGER = (1L << 53) - 1;
  static final Shape DNS_LABEL = shape(
      "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
      "must be 1 to 63 lower-case letters, digits or \"-\", starting and ending with a letter or digit");
  static final Shape DIGEST = shape("sha256:[0-9a-f]{64}", "must be \"sha256:\" followed by 64 lower-case hex digits");
  static final Shape FUNCTION_NAME = shape(
      "[A-Za-z0-9][A-Za-z0-9._/-]{0,252}",
      "must be 1 to 253 letters, digits, \".\", \"_\", \"/\" and \"-\", starting with a letter or digit");
  static final Shape FUNCTION_VERSION = shape(
      "[A-Za-z0-9][A-Za-z0-9._+-]{0,127}",
      "must be 1 to 128 letters, digits, \".\", \"_\", \"+\" and \"-\", starting with a letter or digit");
  static final Shape RUNTIME_NAME = shape(
      "[a-z][a-z0-9-]{0,31}", "must be 1 to 32 lower-case letters, digits or \"-\", starting with a letter");
  static final Shape RUNTIME_VERSION = shape(
      "[0-9A-Za-z][0-9A-Za-z._-]{0,31}", "must be 1 to 32 letters, digits, \".\", \"_\" or \"-\"");
  static final Shape HANDLER = shape(
      "(?!(?:.*/)?\\.\\.(?:/|$))[A-Za-z0-9_@][A-Za-z0-9_./@-]{0,255}",
      "must be a relative path inside the code of at most 256 characters and without \"..\","
          + " for example \"com.example.Orders.handle\" or \"app.jar\"");
  static final Shape REQUEST_ID = shape(
      "[A-Za-z0-9._:-]{1,128}", "must be 1 to 128 letters, digits, \".\", \"_\", \":\" or \"-\"");

  private final List<Map<String, Object>> problems = new ArrayList<>();

  private static Shape shape(String pattern, String rule) {
    return new Shape(Pattern.compile(pattern), rule);
  }

  void refuse(String field, String message) {
    problems.add(Map.of("field", field, "message", message));
  }

  /** An object with no other keys than these; null when it is not one. */
  Map<String, Object> object(String field, Object value, String... keys) {
    Map<String, Object> object = record(field, value);
    if (object == null) return null;
    List<String> known = List.of(keys);
    for (String key : object.keySet()) {
      if (!known.contains(key)) refuse(field.isEmpty() ? key : field + "." + key, "is not a known field");
    }
    return object;
  }

  @SuppressWarnings("unchecked")
  Map<String, Object> record(String field, Object value) {
    if (value instanceof Map<?, ?> map) return (Map<String, Object>) map;
    refuse(field.isEmpty() ? "(body)" : field, value == null ? "is required" : "must be an object");
    return null;
  }

  void shaped(String field, Object value, Shape shape) {
    if (!(value instanceof String text)) refuse(field, value == null ? "is required" : "must be a string");
    else if (!shape.pattern.matcher(text).matches()) refuse(field, shape.rule);
  }

  void text(String field, Object value, int maxLength, int minLength) {
    if (!(value instanceof String text)) refuse(field, value == null ? "is required" : "must be a string");
    else if (text.length() < minLength || text.length() > maxLength) {
      refuse(field, "must have " + minLength + " to " + maxLength + " characters");
    }
  }

  void whole(String field, Object value, long min, long max) {
    Long number = wholeOf(value);
    if (value == null) refuse(field, "is required");
    else if (number == null || number < min || number > max) {
      refuse(field, "must be a whole number from " + min + " to " + max);
    }
  }

  /** JSON knows one kind of number: `5.0` and `5e0` are 5. */
  static Long wholeOf(Object value) {
    if (value instanceof Long number) return number;
    boolean isWhole = value instanceof Double number && number == Math.rint(number) && Math.abs(number) <= MAX_SAFE_INTEGER;
    return isWhole ? Long.valueOf(((Double) value).longValue()) : null;
  }

  void oneOf(String field, Object value, String... choices) {
    if (value instanceof String && List.of(choices).contains(value)) return;
    refuse(field, value == null ? "is required" : "must be one of " + String.join(", ", choices));
  }

  /** 400 with every wrong field, when there is one. */
  void refuseProblems(String what) throws AgentError {
    if (problems.isEmpty()) return;
    StringBuilder words = new StringBuilder("the ").append(what).append(" request is wrong");
    String before = ": ";
    for (Map<String, Object> problem : problems) {
      words.append(before).append(problem.get("field")).append(": ").append(problem.get("message"));
      before = "; ";
    }
    throw new AgentError(AgentError.Code.BadRequest, words.toString()).with("details", problems);
  }
}
