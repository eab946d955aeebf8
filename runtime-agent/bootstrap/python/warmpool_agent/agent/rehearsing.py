"""Walks the way of a load and of a few calls before the first real one, so that nothing is done for the first time then."""

from __future__ import annotations

import json
import socket
from typing import Callable

from ..event_loop import READABLE, EventLoop
from ..frames import Frame
from ..http.server import HttpServer
from .child_process import ChildProcess
from .invocations import Invocations
from .lifecycle import Lifecycle, now_unix_ms
from .listener import bind_listener
from .load_request import LoadRequest
from .log_pipes import LogPipes
from .requests import RequestHistory

# Enough for the interpreter to specialise its bytecode; more gained nothing (decision 0004).
ROUNDS = 5
_EVENTS = ({"name": "first"}, {"name": "second", "fails": True}, {"name": "third"})
_READ_BYTES = 64 * 1024
_BODY_BYTES = 4096


class Rehearsing:
    """The calls come over a port of their own and through parts of their own, which go when it is over."""

    def __init__(
        self,
        loop: EventLoop,
        child: ChildProcess,
        logs: LogPipes,
        folder: str,
        host: str,
        env: dict[str, str],
        on_done: Callable[[], None],
    ):
        self._loop = loop
        self._child = child
        self._logs = logs
        self._folder = folder
        self._host = host
        self._env = env
        self._on_done = on_done
        self._rounds_left = ROUNDS
        self._events: list[dict] = []
        self._invocations: Invocations | None = None
        self._server: HttpServer | None = None
        self._address: tuple = ()

    def start(self) -> None:
        self._logs.is_muted = True
        listener = bind_listener(self._host, 0)
        self._address = listener.getsockname()
        lifecycle = Lifecycle()
        for state in ("standby", "loading", "ready"):
            lifecycle.to(state)
        history = RequestHistory(now_unix_ms)
        self._invocations = Invocations(self._loop, lifecycle, self._child, self._logs, _NoEnding(), history)
        self._invocations.start(_load_request(self._folder))
        self._server = HttpServer(self._loop, listener, self._invocations.submit, lambda _path: _BODY_BYTES, 60.0)
        self._server.start()
        self._next_round()

    def on_frame(self, frame: Frame) -> None:
        kind = frame.head["type"]
        if kind == "loaded":
            self._call()
        elif kind == "forgotten":
            self._rounds_left -= 1
            if self._rounds_left > 0:
                return self._next_round()
            self._finish()
        elif kind == "loadFailed":
            raise RuntimeError(f"the rehearsal cannot be loaded: {frame.head['message']}")
        elif self._invocations is not None:
            self._invocations.on_frame(frame)

    def _next_round(self) -> None:
        self._events = list(_EVENTS)
        load = {
            "type": "rehearse",
            "kind": "handler",
            "handler": "warmpool_rehearsal.run",
            "codePath": self._folder,
            "env": {**self._env, "PORT": "0"},
            "claimId": "rehearsal",
            "function": {},
            "service": {},
        }
        self._child.send(load)

    def _call(self) -> None:
        """As a client does, on a connection of its own."""
        if not self._events:
            return self._child.send({"type": "forget"})
        body = json.dumps(self._events.pop(0)).encode()
        client = socket.create_connection(self._address[:2])
        client.setblocking(False)
        lines = ("POST /?a=1 HTTP/1.1", "host: function", "content-type: application/json", f"content-length: {len(body)}")
        client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

        def on_answer(_events: int) -> None:
            try:
                client.recv(_READ_BYTES)
            except BlockingIOError:
                return
            self._loop.unwatch(client.fileno())
            client.close()
            self._call()

        self._loop.watch(client.fileno(), READABLE, on_answer)

    def _finish(self) -> None:
        if self._server is not None:
            self._server.stop_listening()
        self._invocations = self._server = None
        self._logs.drain()
        self._logs.is_muted = False
        self._on_done()


class _NoEnding:
    """A rehearsal has nothing to end."""

    def proceed(self) -> None:
        pass

    def fail(self, reason: str, message: str, request_id: str | None = None) -> None:
        raise RuntimeError(f"the rehearsal failed: {reason}: {message}")


def _load_request(folder: str) -> LoadRequest:
    return LoadRequest(
        claim_id="rehearsal",
        fence=0,
        function={},
        runtime={},
        kind="handler",
        handler="warmpool_rehearsal.run",
        code_path=folder,
        digest="",
        env={},
        service={},
        request_timeout_ms=10_000,
        init_timeout_ms=10_000,
    )
