"""The agent's parts and how they are joined. One object of each; nothing here decides."""

from __future__ import annotations

import gc
import os
import signal
import socket

from ..config import Config
from ..event_loop import READABLE, EventLoop
from ..frames import Frame
from ..http.server import HttpServer
from .child_process import ChildProcess
from .control_api import INVOKE_LIMIT_BYTES, ControlApi, body_limit_bytes
from .ending import DRAIN_SECONDS, Ending
from .exit_cause import ExitCause
from .fork_child import ForkedChild
from .invocations import Invocations
from .lifecycle import Lifecycle, now_unix_ms
from .load_request import LoadRequest
from .loading import Loading
from .log_pipes import LogPipes
from .log_ring import LogRing
from .rehearsing import Rehearsing
from .requests import RequestHistory
from .self_call import SelfCall
from .status import Status
from .termination import TerminationNote

# Clients of the function's port; the control socket's one client keeps its connection open for as long as it likes.
FUNCTION_IDLE_SECONDS = 120.0


class Agent:
    def __init__(self, config: Config, forked: ForkedChild, rehearsal_folder: str):
        self._config = config
        self._loop = loop = EventLoop()
        self._lifecycle = lifecycle = Lifecycle()
        self._child = child = ChildProcess(loop, forked.pid, forked.channel)
        self._ring = LogRing(config.log_bytes, now_unix_ms)
        self._logs = LogPipes(loop, self._ring, forked.stdout_fd, forked.stderr_fd)
        self._note = TerminationNote(config.socket_path, now_unix_ms)
        self._ending = Ending(loop, lifecycle, self._note, child)
        history = RequestHistory(now_unix_ms)
        self._invocations = Invocations(loop, lifecycle, child, self._logs, self._ending, history)
        self._loading = Loading(config, loop, lifecycle, child, self._logs, self._ending)
        status = Status(config, lifecycle, self._loading, history, child)
        self._api = ControlApi(lifecycle, self._loading, self._invocations, status, self._ring, self._ending)
        self._rehearsing = Rehearsing(
            loop, child, self._logs, rehearsal_folder, config.host, config.container_env, self._open_socket
        )
        self._loading.server_of = self._server_of
        self._loading.on_served = self._on_served
        self._ending.is_idle = lambda: self._invocations.is_idle
        self._ending.is_serving_itself = lambda: self._loading.serves_itself
        self._ending.cut_short = self._cut_short
        child.on_frame = self._on_frame
        child.on_exit = self._on_child_exit

    def run(self) -> int:
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        self._loop.on_signals(signals, self._on_signal)
        # It may have died before its signal was listened for.
        self._child.reap()
        if self._config.has_lifeline:
            os.set_blocking(0, False)
            self._loop.watch(0, READABLE, lambda _events: self._on_lifeline())
        try:
            exit_code = self._loop.run()
        except Exception as error:
            self._note.write("Crashed", f"the agent itself failed: {type(error).__name__}: {error}")
            raise
        self._child.kill()
        self._logs.finish()
        try:
            os.unlink(self._config.socket_path)
        except OSError:
            pass
        return exit_code

    def _open_socket(self) -> None:
        """The name appears when the socket answers: it is bound under another one first."""
        unready_path = f"{self._config.socket_path}.new"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(unready_path):
                os.unlink(unready_path)
            listener.bind(unready_path)
            server = HttpServer(self._loop, listener, self._api.on_request, body_limit_bytes, None)
            server.start()
            self._ending.servers.append(server)
            self._lifecycle.to("standby")
            if self._config.is_rehearsed:
                SelfCall(self._loop, unready_path, self._config.host, lambda: self._show(unready_path)).start()
            else:
                self._show(unready_path)
        except OSError as error:
            self._boot_failed(error)

    def _show(self, unready_path: str) -> None:
        gc.collect()
        gc.freeze()
        try:
            os.rename(unready_path, self._config.socket_path)
        except OSError as error:
            self._boot_failed(error)

    def _boot_failed(self, error: OSError) -> None:
        message = f"the socket {self._config.socket_path} cannot be made: {error}"
        os.write(2, f"warmpool: {message}\n".encode())
        self._ending.fail("BootFailed", message)

    def _server_of(self, listener: socket.socket) -> HttpServer:
        return HttpServer(
            self._loop, listener, self._invocations.submit, lambda _path: INVOKE_LIMIT_BYTES, FUNCTION_IDLE_SECONDS
        )

    def _on_served(self, load: LoadRequest, server: HttpServer) -> None:
        self._invocations.start(load)
        self._ending.servers.append(server)

    def _on_frame(self, frame: Frame) -> None:
        if self._lifecycle.is_ended:
            return
        if self._lifecycle.state == "booting":
            if frame.head["type"] != "started":
                self._rehearsing.on_frame(frame)
            elif self._config.is_rehearsed:
                self._rehearsing.start()
            else:
                self._open_socket()
            return
        self._loading.on_frame(frame)
        self._invocations.on_frame(frame)

    def _on_child_exit(self, cause: ExitCause) -> None:
        if self._lifecycle.is_ended:
            return
        if self._lifecycle.state == "booting":
            self._ending.fail("BootFailed", f"the interpreter's process {cause.message} while it booted")
        elif not self._loading.on_child_exit(cause) and not self._invocations.on_child_exit(cause):
            self._ending.child_ended(cause, f"the function's process {cause.message} outside of any request")

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._child.reap()
        elif self._lifecycle.state == "draining":
            self._ending.finish(128 + number)
        else:
            self._ending.drain(DRAIN_SECONDS)

    def _on_lifeline(self) -> None:
        try:
            is_ended = os.read(0, 4096) == b""
        except BlockingIOError:
            return
        except OSError:
            is_ended = True
        if is_ended:
            self._loop.unwatch(0)
            self._ending.finish()

    def _cut_short(self, why: str) -> None:
        self._loading.cut_short(why)
        self._invocations.cut_short(why)
