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

  static String outOfMemory(Throwable error) {
    return "out of memory: " + error.getMessage() + " (the heap's limit is "
        + Runtime.getRuntime().maxMemory() / 1024 / 1024 + " MiB)";
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
    StackTraceElement[] frames = error.getStackTrace();
    int end = usersEnd(frames);
    for (int index = 0; index < end && text.length() < STACK_LIMIT_CHARACTERS; index++) {
      if (!isReflection(frames[index])) text.append("    at ").append(frames[index]).append('\n');
    }
    if (error.getCause() != null) write(error.getCause(), "Caused by: ", text, seen);
  }

  /** Up to where the agent called, and without what of the JDK it called through. */
  private static int usersEnd(StackTraceElement[] frames) {
    int end = 0;
    while (end < frames.length && !frames[end].getClassName().startsWith(AGENT_PACKAGE)) end++;
    if (end == frames.length) return end;
    while (end > 0 && (isReflection(frames[end - 1]) || frames[end - 1].getClassName().equals("java.lang.Class"))) end--;
    return end;
  }

  private static boolean isReflection(StackTraceElement frame) {
    String name = frame.getClassName();
    return name.startsWith("jdk.internal.reflect.") || name.startsWith("java.lang.reflect.");
  }
}
