package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Makes this process one instance of one function, once. */
final class Loader {
  interface Caller {
    void done(Map<String, Object> reply, AgentError error);
  }

  interface Listen {
    void listen() throws IOException;
  }

  LoadRequest accepted;
  private final Settings settings;
  private final AgentLoop loop;
  private final UserThread userThread;
  private final Lifecycle lifecycle;
  private final Identity identity;
  private final Invocations invocations;
  private final Listen listen;
  private final Invocations.Discard discard;
  private final List<Caller> callers = new ArrayList<>();
  private Map<String, Object> reply;
  private AgentError failure;
  private AgentLoop.Timer deadline;
  private AppPort appPort;
  private String phase = "import";
  private long startedAt;

  Loader(
      Settings settings,
      AgentLoop loop,
      UserThread userThread,
      Lifecycle lifecycle,
      Identity identity,
      Invocations invocations,
      Listen listen,
      Invocations.Discard discard) {
    this.settings = settings;
    this.loop = loop;
    this.userThread = userThread;
    this.lifecycle = lifecycle;
    this.identity = identity;
    this.invocations = invocations;
    this.listen = listen;
    this.discard = discard;
  }

  void load(LoadRequest request, Caller caller) throws AgentError {
    if (accepted != null) {
      refuseOther(request);
      accepted = accepted.withFence(request.fence());
      if (reply != null || failure != null) caller.done(reply, failure);
      else callers.add(caller);
      return;
    }
    if (lifecycle.state != Lifecycle.State.standby) {
      throw new AgentError(AgentError.Code.Draining, "this process is ending");
    }
    refuseOtherRuntime(request);
    refuseOtherThanFolder(request.codePath());
    accepted = request;
    callers.add(caller);
    startedAt = System.nanoTime();
    lifecycle.moveTo(Lifecycle.State.loading);
    deadline = loop.after(request.initTimeoutMs(), () -> fail(tooLate(request)));
    userThread.execute(() -> run(request));
    if (!request.isApp()) listen(request);
  }

  private void refuseOther(LoadRequest request) throws AgentError {
    if (!request.claimId().equals(accepted.claimId()) || !request.digest().equals(accepted.digest())) {
      throw new AgentError(AgentError.Code.PodNotStandby,
          "this process belongs to claim " + accepted.claimId() + " and loads only once");
    }
    if (request.fence() >= accepted.fence()) return;
    throw new AgentError(AgentError.Code.PodNotStandby,
        "fence " + request.fence() + " is lower than " + accepted.fence() + ", which was seen before");
  }

  private void refuseOtherRuntime(LoadRequest request) throws AgentError {
    String here = settings.runtimeName() + " " + settings.runtimeVersion();
    String wanted = request.runtimeName() + " " + request.runtimeVersion();
    if (wanted.equals(here)) return;
    throw new AgentError(AgentError.Code.RuntimeMismatch, "this process runs " + here + ", not " + wanted);
  }

  private static void refuseOtherThanFolder(String path) throws AgentError {
    if (path.startsWith("/") && path.indexOf('\0') < 0 && new File(path).isDirectory()) return;
    String words = "the load request is wrong: code.path: " + path + " is not a folder";
    throw new AgentError(AgentError.Code.BadRequest, words)
        .with("details", List.of(Map.of("field", "code.path", "message", "must be the absolute path of a folder")));
  }

  private void listen(LoadRequest request) {
    try {
      listen.listen();
    } catch (IOException | RuntimeException error) {
      String place = settings.host() + ":" + settings.port();
      fail(new AgentError(AgentError.Code.ListenFailed,
          "the function cannot be served on " + place + ": " + error.getMessage()).with("phase", "listen"));
    }
  }

  /** On the user's thread. */
  private void run(LoadRequest request) {
    try {
      UserCode code = new UserCode(request.codePath());
      identity.become(request, code, settings.port());
      long importStartedAt = System.nanoTime();
      if (request.isApp()) {
        runApp(code.mainMethod(request.handler()));
        return;
      }
      Handler handler = new HandlerFinder(code.loader, request.handler()).find();
      double importMs = (System.nanoTime() - importStartedAt) / 1e6;
      loop.post(() -> {
        if (lifecycle.state == Lifecycle.State.loading) invocations.bind(handler, request);
        becomeReady(request, importMs);
      });
    } catch (AppReturned returned) {
      throw returned;
    } catch (Throwable error) {
      Throwable thrown = UserErrors.unwrap(error);
      loop.makeRoomFor(thrown);
      loop.post(() -> fail(thrown instanceof AgentError known ? known : userCodeError(thrown)));
    }
  }

  /** An app may keep this thread, or leave it and live on in others; it is ready when it listens. */
  private void runApp(Method main) throws Throwable {
    long importStartedAt = System.nanoTime();
    loop.post(() -> {
      if (lifecycle.state != Lifecycle.State.loading) return;
      appPort = new AppPort(settings.host(), settings.port(), () -> {
        double importMs = (System.nanoTime() - importStartedAt) / 1e6;
        loop.post(() -> {
          invocations.idleSinceUnixMs = System.currentTimeMillis();
          becomeReady(accepted, importMs);
        });
      });
      appPort.start();
    });
    try {
      main.invoke(null, (Object) new String[0]);
    } catch (java.lang.reflect.InvocationTargetException error) {
      // as the JVM does it, once nobody waits for the load any more
      if (lifecycle.state == Lifecycle.State.loading) throw error;
      error.getCause().printStackTrace();
    }
    loop.post(() -> phase = "listen");
    throw new AppReturned();
  }

  private void becomeReady(LoadRequest request, double importMs) {
    if (lifecycle.state != Lifecycle.State.loading) {
      fail(new AgentError(AgentError.Code.Draining, "the process ended while it was loading"));
      return;
    }
    stopWaiting();
    lifecycle.moveTo(Lifecycle.State.ready);
    Map<String, Object> timings = new LinkedHashMap<>();
    timings.put("importMs", importMs);
    timings.put("totalMs", (System.nanoTime() - startedAt) / 1e6);
    Map<String, Object> made = new LinkedHashMap<>();
    made.put("state", "ready");
    made.put("claimId", request.claimId());
    made.put("epoch", lifecycle.epoch);
    made.put("port", settings.port());
    // whatever was asked for: requests share the main thread, and with it the log
    made.put("concurrency", 1);
    made.put("timings", timings);
    reply = made;
    tellCallers();
  }

  /** @param how what the function's code did, to the process or to its memory. @return whether that was during a load */
  boolean failBecauseModule(String how) {
    if (lifecycle.state != Lifecycle.State.loading) return false;
    return fail(new AgentError(AgentError.Code.UserCodeError, "the module " + how + " " + when()).with("phase", phase));
  }

  private boolean fail(AgentError error) {
    if (callers.isEmpty() || reply != null || failure != null) return false;
    failure = error;
    stopWaiting();
    if (error.code != AgentError.Code.Draining) lifecycle.moveTo(Lifecycle.State.failed);
    tellCallers();
    if (error.code != AgentError.Code.Draining) {
      discard.discard(TerminationFile.Reason.valueOf(error.code.name()), error.getMessage(), null);
    }
    return true;
  }

  private void stopWaiting() {
    if (deadline != null) deadline.cancel();
    if (appPort != null) appPort.stopWaiting();
  }

  private void tellCallers() {
    for (Caller caller : callers) caller.done(reply, failure);
    callers.clear();
  }

  private AgentError tooLate(LoadRequest request) {
    if (!request.isApp()) {
      return new AgentError(AgentError.Code.InitTimeout,
          "the module was not imported within " + request.initTimeoutMs() + " ms").with("phase", phase);
    }
    // whether its main method returned or keeps the thread: what is missing is the port
    Set<String> elsewhere = ListeningPorts.addresses();
    String place = settings.host() + ":" + settings.port();
    if (elsewhere.isEmpty()) {
      String words = "the app did not listen on $PORT (" + settings.port() + ") within " + request.initTimeoutMs() + " ms";
      return new AgentError(AgentError.Code.InitTimeout, words).with("phase", "listen");
    }
    String words = "the app listens on " + String.join(", ", elsewhere) + ", not on $PORT (" + place + ")";
    return new AgentError(AgentError.Code.UserCodeError, words).with("phase", "listen");
  }

  private AgentError userCodeError(Throwable thrown) {
    String words = "the module failed " + when() + ": " + UserErrors.message(thrown);
    int file = thrown instanceof ClassFormatError ? words.lastIndexOf("class file ") : -1;
    if (file >= 0) words += " (" + words.substring(file + "class file ".length()) + ".class is not a class file)";
    return new AgentError(AgentError.Code.UserCodeError, words)
        .with("phase", phase).with("stack", UserErrors.stack(thrown));
  }

  private String when() {
    return phase.equals("import") ? "while it was imported" : "before it was ready";
  }

  /** Leaves the user's thread to the JVM, which ends the process when no other thread of the app is left. */
  static final class AppReturned extends Error {
    AppReturned() {
      super("the app's main method returned", null, false, false);
    }
  }
}
