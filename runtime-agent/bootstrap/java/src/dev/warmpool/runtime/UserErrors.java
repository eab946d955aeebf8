package dev.warmpool.runtime;

import java.lang.reflect.InvocationTargetException;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;

/** What the user's code threw, in words, without frames of the agent or of reflection. */
final class UserErrors {
  private static final int STACK_LIMIT_CHARACTERS = 4096;
  private static final String AGENT_PACKAGE = UserErrors.class.getPackageName() + ".";

  private UserErrors() {}

  /** What was thrown, from under what Java wraps it in on the way. */
  static Throwable unwrap(Throwable thrown) {
    Throwable error = thrown;
    while ((error instanceof InvocationTargetException || error instanceof ExceptionInInitializerError
            || error instanceof java.util.concurrent.ExecutionException
            || error instanceof java.util.concurrent.CompletionException)
        && error.getCause() != null) {
      error = error.getCause();
    }
    return error;
  }

  static String message(Throwable error) {
    try {
      return String.valueOf(error);
    } catch (Throwable cannotSay) {
      return error.getClass().getName();
    }
  }

  static String stack(Throwable error) {
    try {
      StringBuilder text = new StringBuilder();
      write(error, "", text, Collections.newSetFromMap(new IdentityHashMap<>()));
      return text.substring(0, Math.min(text.length(), STACK_LIMIT_CHARACTERS)).stripTrailing();
    } catch (Throwable cannotSay) {
      return null;
    }
  }

  private static void write(Throwable error, String heading, StringBuilder text, Set<Throwable> seen) {
    text.append(heading).append(message(error)).append('\n');
    if (!seen.add(error)) return;
    for (StackTraceElement frame : error.getStackTrace()) {
      if (text.length() > STACK_LIMIT_CHARACTERS) return;
      if (!isForeign(frame.getClassName())) text.append("    at ").append(frame).append('\n');
    }
    if (error.getCause() != null) write(error.getCause(), "Caused by: ", text, seen);
  }

  private static boolean isForeign(String className) {
    return className.startsWith(AGENT_PACKAGE)
        || className.startsWith("jdk.internal.reflect.")
        || className.startsWith("java.lang.reflect.");
  }
}
