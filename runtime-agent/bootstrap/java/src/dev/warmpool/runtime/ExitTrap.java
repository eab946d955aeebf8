package dev.warmpool.runtime;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.function.Consumer;

/**
 * Notices that user code ends the process, and with which status. The JVM runs its shutdown hooks on the thread that called
 * System.exit, so a wrapper of the first one finds the status on that thread's own stack.
 */
final class ExitTrap {
  /** Where java.lang.Shutdown keeps the hooks of applications. */
  private static final int APPLICATION_HOOKS = 1;
  private static volatile Consumer<String> onExit;
  private static volatile boolean isOurs;
  private static volatile boolean areHooksRunning;

  private ExitTrap() {}

  /** @param told called on the thread that exits, with `System.exit(3)` or other words */
  static void install(Consumer<String> told) throws ReflectiveOperationException {
    onExit = told;
    Class.forName("java.lang.ApplicationShutdownHooks");
    Field field = Class.forName("java.lang.Shutdown").getDeclaredField("hooks");
    field.setAccessible(true);
    Runnable[] hooks = (Runnable[]) field.get(null);
    Runnable applications = hooks[APPLICATION_HOOKS];
    hooks[APPLICATION_HOOKS] = () -> {
      areHooksRunning = true;
      if (!isOurs) onExit.accept(words());
      if (applications != null) applications.run();
      areHooksRunning = false;
      if (!isOurs) waitForTheAgent();
    };
  }

  /** The function's shutdown hooks, after an exit of its own or the agent's. */
  static boolean areHooksRunning() {
    return areHooksRunning;
  }

  /** The agent ends the process itself, and the function's shutdown hooks may still run. */
  static void exit(int status) {
    isOurs = true;
    Runtime.getRuntime().exit(status);
  }

  /** The agent answers who is waiting, and then halts the process with a status of its own. */
  private static void waitForTheAgent() {
    for (;;) {
      try {
        Thread.sleep(Long.MAX_VALUE);
      } catch (InterruptedException notNow) {
        // there is nowhere to go back to
      }
    }
  }

  private static String words() {
    try {
      Method newWalker = Class.forName("java.lang.LiveStackFrame").getDeclaredMethod("getStackWalker");
      newWalker.setAccessible(true);
      StackWalker walker = (StackWalker) newWalker.invoke(null);
      return walker.walk(frames -> frames.filter(ExitTrap::isExit).findFirst())
          .map(frame -> "called System.exit(" + statusOf(frame) + ")")
          .orElse("ended with its last thread");
    } catch (ReflectiveOperationException | RuntimeException error) {
      return "called System.exit";
    }
  }

  private static boolean isExit(StackWalker.StackFrame frame) {
    return frame.getClassName().equals("java.lang.Shutdown") && frame.getMethodName().equals("exit");
  }

  /** The frame's first local variable, in a slot of four or eight bytes. */
  private static String statusOf(StackWalker.StackFrame frame) {
    try {
      Method locals = Class.forName("java.lang.LiveStackFrame").getMethod("getLocals");
      locals.setAccessible(true);
      Object slot = ((Object[]) locals.invoke(frame))[0];
      Method size = Class.forName("java.lang.LiveStackFrame$PrimitiveSlot").getMethod("size");
      size.setAccessible(true);
      Method value = slot.getClass().getMethod((int) size.invoke(slot) == 8 ? "longValue" : "intValue");
      value.setAccessible(true);
      return String.valueOf(((Number) value.invoke(slot)).intValue());
    } catch (ReflectiveOperationException | RuntimeException error) {
      return "";
    }
  }
}
