package dev.warmpool.runtime;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.nio.charset.StandardCharsets;
import sun.misc.Signal;

/** The Java runtime: agent and interpreter in one process. docs/runtime-contract.md says what it does. */
public final class Main {
  private static final long DRAIN_MS = 10_000;
  private static final long HOOKS_MS = 1_000;
  private static final long HOOKS_STEP_MS = 5;
  private static final int SETTINGS_DESCRIPTOR = 3;
  private static final int EXIT_WRONG_SETTING = 2;
  /** Found now: when there is no memory, the class could not be looked up, and the process would not end. */
  private static final Runtime JVM = Runtime.getRuntime();

  private Main() {}

  /** With the argument `archive` it only rehearses, for the JVM to write down which classes that took. */
  public static void main(String[] args) throws Exception {
    Settings settings;
    try {
      settings = Settings.parse(settingsText());
    } catch (Settings.Wrong wrong) {
      Output.tell(wrong.getMessage());
      System.exit(EXIT_WRONG_SETTING);
      return;
    }
    boot(settings, args.length > 0 && args[0].equals("archive"));
  }

  /** `launch.sh` hands the settings over in a descriptor of its own, which is closed so that nobody finds it. */
  private static String settingsText() throws ReflectiveOperationException, IOException {
    Constructor<FileDescriptor> open = FileDescriptor.class.getDeclaredConstructor(int.class);
    open.setAccessible(true);
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try (FileInputStream in = new FileInputStream(open.newInstance(SETTINGS_DESCRIPTOR))) {
      byte[] part = new byte[4096];
      for (int count = in.read(part); count > 0; count = in.read(part)) text.write(part, 0, count);
    }
    return text.toString(StandardCharsets.UTF_8);
  }

  private static void boot(Settings settings, boolean isForArchive) throws IOException {
    File folder = new File(settings.socketPath()).getAbsoluteFile().getParentFile();
    File terminationFile = new File(folder, "termination.json");
    UserThread userThread = new UserThread(Thread.currentThread());
    try {
      if (settings.hasLifeline()) new Lifeline().start();
      preImport(settings);
      AgentLoop loop = new AgentLoop();
      loop.start();
      Identity identity = new Identity();
      Agent agent = new Agent(settings, loop, userThread, identity, terminationFile,
          (exitCode, isClean) -> endProcess(loop, exitCode, isClean));
      loop.onOutOfMemory(agent::ranOutOfMemory);
      loop.onFailure(error -> failByItself(agent, error));
      if (settings.rehearses()) new Rehearsal(settings, loop, userThread, identity, rehearsalFolder()).run();
      if (isForArchive) System.exit(0);
      ExitTrap.install(how -> loop.post(() -> agent.userExited(how)));
      for (String name : new String[] {"TERM", "INT"}) Signal.handle(new Signal(name), signal -> loop.post(() -> {
        if (agent.lifecycle.isEnding()) JVM.halt(1);
        agent.ending.drain(DRAIN_MS, "SIG" + signal.getName());
      }));
      agent.capture.install(true);
      String hidden = settings.socketPath() + ".booting";
      loop.post(() -> appear(agent, hidden));
    } catch (Exception error) {
      String message = String.valueOf(error.getMessage() == null ? error : error.getMessage());
      new TerminationFile(terminationFile).write(TerminationFile.Reason.BootFailed, message, null);
      Output.tell("the runtime did not boot: " + message);
      JVM.halt(1);
    }
    serveUserTasks(userThread);
  }

  /** The socket must not be seen before it is complete. */
  private static void appear(Agent agent, String hidden) {
    try {
      agent.listenOn(hidden);
      agent.lifecycle.moveTo(Lifecycle.State.standby);
      if (!new File(hidden).renameTo(new File(agent.settings.socketPath()))) {
        throw new IOException(hidden + " cannot be renamed");
      }
    } catch (IOException error) {
      agent.termination.write(TerminationFile.Reason.BootFailed, error.getMessage(), null);
      Output.tell("the runtime did not boot: " + error.getMessage());
      JVM.halt(1);
    }
  }

  private static void serveUserTasks(UserThread userThread) {
    try {
      for (;;) userThread.runNext();
    } catch (Loader.AppReturned returned) {
      // from here on the app's own threads keep the process
    }
  }

  private static void preImport(Settings settings) {
    for (String name : settings.preImport()) {
      try {
        Class.forName(name, true, ClassLoader.getPlatformClassLoader());
      } catch (ClassNotFoundException | LinkageError error) {
        throw new IllegalStateException(
            "WARMPOOL_PRE_IMPORT names \"" + name + "\", which cannot be loaded: " + error, error);
      }
    }
  }

  private static File rehearsalFolder() {
    return new File(new File(System.getProperty("java.class.path")).getAbsoluteFile().getParentFile(), "rehearsal");
  }

  private static void endProcess(AgentLoop loop, int exitCode, boolean isClean) {
    if (!isClean) {
      haltAfterHooks(loop, exitCode, System.nanoTime() + HOOKS_MS * 1_000_000);
      return;
    }
    // the function's shutdown hooks may take their time, but not for ever
    loop.after(DRAIN_MS, () -> JVM.halt(exitCode));
    Thread exit = new Thread(() -> ExitTrap.exit(exitCode), "warmpool-exit");
    exit.setDaemon(true);
    exit.start();
  }

  /** A function that exits by itself has its hooks run too, for a shorter time. */
  private static void haltAfterHooks(AgentLoop loop, int exitCode, long untilNanos) {
    if (!ExitTrap.areHooksRunning() || System.nanoTime() > untilNanos) JVM.halt(exitCode);
    loop.after(HOOKS_STEP_MS, () -> haltAfterHooks(loop, exitCode, untilNanos));
  }

  /** The agent's own thread cannot go on, not even with the memory that it had put by. */
  private static void failByItself(Agent agent, Throwable error) {
    try {
      agent.termination.write(TerminationFile.Reason.Crashed, "the agent cannot go on: " + error, null);
    } finally {
      JVM.halt(1);
    }
  }
}
