"""The one load of a process: accepted once, answered alike to everybody who asks for the same."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any, Callable

from ..config import Config
from ..errors import AgentError
from ..event_loop import EventLoop, Timer
from ..frames import Frame
from ..http.responder import Responder
from ..http.server import HttpServer
from .app_port import AppPort
from .child_process import ChildProcess
from .ending import Ending
from .exit_cause import ExitCause
from .lifecycle import Lifecycle
from .listening_ports import listening_addresses
from .listener import bind_listener
from .load_request import LoadRequest, check_load_request
from .log_pipes import LogPipes


class Loading:
    def __init__(
        self,
        config: Config,
        loop: EventLoop,
        lifecycle: Lifecycle,
        child: ChildProcess,
        logs: LogPipes,
        ending: Ending,
    ):
        self._config = config
        self._lifecycle = lifecycle
        self._loop = loop
        self._child = child
        self._logs = logs
        self._ending = ending
        # Set by the agent: the server of requests to the handler, and who is told when it takes them.
        self.server_of: Callable[[socket.socket], HttpServer]
        self.on_served: Callable[[LoadRequest, HttpServer], None]
        self._server: HttpServer | None = None
        self._app_port = AppPort(loop, config.host, config.port)
        self.request: LoadRequest | None = None
        self.fence: int | None = None
        self._waiting: list[Responder] = []
        self._reply: bytes | None = None
        self._error: AgentError | None = None
        self._timer: Timer | None = None
        self._started = 0.0

    @property
    def port(self) -> int:
        return self._config.port

    @property
    def serves_itself(self) -> bool:
        return self.request is not None and self.request.form == "main"

    def submit(self, body: Any, arrived: float, responder: Responder) -> None:
        request, problems = check_load_request(body)
        if request is None:
            message = "; ".join(f"{problem['field']}: {problem['message']}" for problem in problems)
            raise AgentError("BadRequest", f"the load is not valid: {message}", details=problems)
        self._refuse_other(request)
        if self.request is not None:
            return self._replay(responder)
        self._refuse_unfit(request)
        self.request = request
        self.fence = request.fence
        self._started = arrived
        self._waiting.append(responder)
        self._begin(request)

    def on_frame(self, frame: Frame) -> None:
        kind = frame.head["type"]
        if self._lifecycle.state != "loading":
            if kind == "ended" and self.serves_itself:
                self._app_ended(frame.head["exitCode"])
            return
        if kind == "loaded":
            self._import_done(frame.head["importMs"])
        elif kind == "loadFailed":
            head = frame.head
            self._fail(AgentError(head["code"], head["message"], phase=head["phase"], stack=head.get("stack")))
        elif kind == "ended":
            exit_code = frame.head["exitCode"]
            message = f"the program ended with exit code {exit_code} without listening on port {self._config.port}"
            self._fail(AgentError("UserCodeError", message, phase="listen" if exit_code == 0 else "import"))

    def on_child_exit(self, cause: ExitCause) -> bool:
        """False when nothing was loading."""
        if self._lifecycle.state != "loading":
            return False
        message = f"the function's process {cause.message} while the module was imported"
        self._fail(AgentError("UserCodeError", message, phase="import"))
        return True

    def cut_short(self, why: str) -> None:
        self._settle_error(AgentError("Draining", f"the load was not finished: {why}"))

    def _refuse_other(self, request: LoadRequest) -> None:
        if self._lifecycle.state in ("draining", "terminated"):
            raise AgentError("Draining", "the process is ending and takes no load")
        loaded = self.request
        if loaded is None:
            return
        if self.fence is not None and request.fence < self.fence:
            raise AgentError("PodNotStandby", f"the fence {request.fence} is lower than {self.fence}, which was seen before")
        if (request.claim_id, request.digest) != (loaded.claim_id, loaded.digest):
            raise AgentError(
                "PodNotStandby", f'the process is {self._lifecycle.state} for the claim "{loaded.claim_id}" already'
            )
        self.fence = request.fence

    def _refuse_unfit(self, request: LoadRequest) -> None:
        asked = (request.runtime["name"], request.runtime["version"])
        offered = (self._config.runtime_name, self._config.runtime_version)
        if asked != offered:
            raise AgentError("RuntimeMismatch", f"this process is {' '.join(offered)}, not {' '.join(asked)}")
        if not os.path.isdir(request.code_path):
            problem = {"field": "code.path", "message": f"is not a folder that this process sees: {request.code_path}"}
            raise AgentError("BadRequest", f"code.path: {problem['message']}", details=[problem])

    def _replay(self, responder: Responder) -> None:
        if self._reply is not None:
            _send_reply(responder, self._reply)
        elif self._error is not None:
            responder.send_error(self._error)
        else:
            self._waiting.append(responder)

    def _begin(self, request: LoadRequest) -> None:
        self._lifecycle.to("loading")
        if request.form == "main" and self._app_port.is_open():
            return self._port_unavailable("something else listens there already")
        self._child.send(
            {
                "type": "load",
                "kind": request.form,
                "handler": request.handler,
                "codePath": os.path.abspath(request.code_path),
                "env": {**self._config.container_env, **request.env, "PORT": str(self._config.port)},
                "claimId": request.claim_id,
                "function": request.function,
                "service": request.service,
            }
        )
        self._logs.start_keeping()
        self._timer = self._loop.after(request.init_timeout_ms / 1000, self._overdue)
        if request.form != "main":
            self._take_port()
            # The child works now: what the answer needs is brought near meanwhile.
            self._ready_reply(0)
        else:
            began = time.perf_counter()
            self._app_port.wait(lambda: self._succeed((time.perf_counter() - began) * 1000))

    def _take_port(self) -> None:
        """While the child imports. Nobody can connect before the listener listens."""
        try:
            self._server = self.server_of(bind_listener(self._config.host, self._config.port))
        except OSError as error:
            self._port_unavailable(str(error))

    def _port_unavailable(self, why: str) -> None:
        message = f"the port {self._config.port} of {self._config.host} cannot be used: {why}"
        self._fail(AgentError("ListenFailed", message, phase="listen"))

    def _import_done(self, import_ms: float) -> None:
        assert self.request is not None and self._server is not None
        try:
            self._server.start()
        except OSError as error:
            return self._port_unavailable(str(error))
        self.on_served(self.request, self._server)
        self._succeed(import_ms)

    def _succeed(self, import_ms: float) -> None:
        assert self.request is not None
        self._lifecycle.to("ready")
        self._reply = self._ready_reply(import_ms)
        for responder in self._take_waiting():
            _send_reply(responder, self._reply)
        # Nobody waits for what follows, and nobody can ask before it is done: the agent has one thread.
        self._stop_waiting()
        self._logs.end_request()

    def _ready_reply(self, import_ms: float) -> bytes:
        assert self.request is not None
        total_ms = (time.perf_counter() - self._started) * 1000
        reply = {
            "state": "ready",
            "claimId": self.request.claim_id,
            "epoch": self._lifecycle.epoch,
            "port": self._config.port,
            # One interpreter lock, one request: asking for more is not refused, the reply says what holds.
            "concurrency": 1,
            "timings": {"importMs": round(import_ms, 3), "totalMs": round(total_ms, 3)},
        }
        return json.dumps(reply).encode()

    def _overdue(self) -> None:
        assert self.request is not None
        limit_ms, port = self.request.init_timeout_ms, self._config.port
        if not self.serves_itself:
            return self._fail(AgentError("InitTimeout", f"the module was not imported within {limit_ms} ms", phase="import"))
        elsewhere = ", ".join(listening_addresses(self._child.pid))
        if elsewhere:
            message = f"the app listens on {elsewhere}, not on {self._config.host}:{port}; it must listen on $PORT"
            return self._fail(AgentError("UserCodeError", message, phase="listen"))
        message = f"nothing listened on port {port} within {limit_ms} ms; the app must listen on $PORT"
        self._fail(AgentError("InitTimeout", message, phase="listen"))

    def _fail(self, error: AgentError) -> None:
        self._logs.end_request()
        self._settle_error(error)
        self._ending.fail(error.code, error.message)

    def _settle_error(self, error: AgentError) -> None:
        self._stop_waiting()
        if self._reply is None and self._error is None:
            self._error = error
        waiting = self._take_waiting()
        for responder in waiting:
            responder.send_error(error)

    def _app_ended(self, exit_code: int) -> None:
        if self._lifecycle.state == "draining":
            return self._ending.finish()
        self._logs.end_request()
        self._ending.fail("Exited", f"the app called exit({exit_code})" if exit_code else "the app came to its end")

    def _stop_waiting(self) -> None:
        self._app_port.stop_waiting()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_waiting(self) -> list[Responder]:
        waiting, self._waiting = self._waiting, []
        return waiting


def _send_reply(responder: Responder, reply: bytes) -> None:
    responder.send(200, [("Content-Type", "application/json")], reply)
