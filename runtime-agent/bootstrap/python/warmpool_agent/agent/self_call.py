"""The agent's own half of a rehearsal: it calls itself on its socket, so that its way of a load is in memory too."""

from __future__ import annotations

import json
import socket
from typing import Callable

from ..event_loop import READABLE, EventLoop
from .listener import bind_listener

READ_BYTES = 64 * 1024
ROUNDS = 3
# Each answer tells the next request when to go; a load for another runtime is refused after all checks.
_LOAD = {
    "claimId": "rehearsal",
    "fence": 0,
    "function": {"name": "rehearsal", "version": "1", "tenant": "rehearsal"},
    "runtime": {"name": "rehearsal", "version": "0"},
    "kind": "handler",
    "handler": "index.handler",
    "code": {"path": "/", "digest": f"sha256:{'0' * 64}"},
    "env": {"NAME": "value"},
    "service": {"name": "value"},
    "limits": {"requestTimeoutMs": 1, "initTimeoutMs": 1},
}
_REQUESTS = (
    ("GET", "/v1/health", None),
    ("POST", "/v1/load", _LOAD),
    ("POST", "/v1/invoke", {}),
    ("GET", "/v1/status", None),
    ("POST", "/v1/load", _LOAD),
)


class SelfCall:
    def __init__(self, loop: EventLoop, socket_path: str, host: str, on_done: Callable[[], None]):
        self._loop = loop
        self._host = host
        self._on_done = on_done
        self._left = list(_REQUESTS * ROUNDS)
        self._client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._client.connect(socket_path)
        self._client.setblocking(False)

    def start(self) -> None:
        self._loop.watch(self._client.fileno(), READABLE, lambda _events: self._on_answer())
        bind_listener(self._host, 0).close()
        self._send_next()

    def _send_next(self) -> None:
        method, path, body = self._left.pop(0)
        content = b"" if body is None else json.dumps(body).encode()
        lines = (
            f"{method} {path} HTTP/1.1",
            "host: agent",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "\r\n",
        )
        self._client.send("\r\n".join(lines).encode() + content)

    def _on_answer(self) -> None:
        # The answers are small, and one on a unix socket arrives in one piece.
        answer = self._client.recv(READ_BYTES)
        if answer and self._left:
            return self._send_next()
        self._loop.unwatch(self._client.fileno())
        self._client.close()
        self._on_done()
