package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The parts of one agent, wired. */
final class Agent {
  final Settings settings;
  final Lifecycle lifecycle = new Lifecycle();
  final LogRing logs;
  final LogCapture capture;
  final Invocations invocations;
  final InvokeRoute invokeRoute;
  final Loader loader;
  final Ending ending;
  final TerminationFile termination;
  private final AgentLoop loop;
  private final List<ServerSocketChannel> listening = new ArrayList<>();

  Agent(Settings settings, AgentLoop loop, UserThread userThread, Identity identity, File terminationFile,
      Ending.EndProcess endProcess) {
    this.settings = settings;
    this.loop = loop;
    logs = new LogRing(settings.logBytes());
    capture = new LogCapture(logs);
    termination = new TerminationFile(terminationFile);
    ending = new Ending(loop, lifecycle, termination, endProcess);
    invocations = new Invocations(loop, userThread, lifecycle, logs, capture, ending::discard);
    ending.invocations = invocations;
    invokeRoute = new InvokeRoute(invocations);
    loader = new Loader(
        settings, loop, userThread, lifecycle, identity, invocations, this::serveFunction, ending::discard);
  }

  void listenOn(String socketPath) throws IOException {
    new File(socketPath).delete();
    listening.add(loop.listen(UnixDomainSocketAddress.of(Path.of(socketPath)), new Routes(this)));
  }

  private void serveFunction() throws IOException {
    listening.add(loop.listen(new InetSocketAddress(settings.host(), settings.port()), invokeRoute));
  }

  /** Where requests for the function arrive, once it is loaded. */
  SocketAddress servedAddress() throws IOException {
    return listening.get(listening.size() - 1).getLocalAddress();
  }

  /** User code has called System.exit, or its last thread has ended. */
  void userExited(String how) {
    if (loader.failBecauseModule(how)) return;
    ending.discard(TerminationFile.Reason.Exited, "the function " + how, invocations.runningId());
  }

  /** User code has left the agent itself no memory. */
  void ranOutOfMemory(OutOfMemoryError error) {
    String words = UserErrors.outOfMemory(error);
    if (loader.failBecauseModule("ran " + words)) return;
    ending.discard(TerminationFile.Reason.Crashed, words, invocations.runningId());
  }

  void close() throws IOException {
    for (ServerSocketChannel each : listening) each.close();
  }
}
