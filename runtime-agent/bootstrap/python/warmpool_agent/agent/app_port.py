"""Waits until an app of kind `http` listens on its port."""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Callable

from ..event_loop import EventLoop, Timer

STEP_SECONDS = 0.001
SLOW_STEP_SECONDS = 0.010
SLOW_AFTER_SECONDS = 2.0
# An accept queue that is full leaves a connect pending; the agent has others to answer.
CONNECT_WAIT_MS = 2
_WILDCARDS = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", "127.0.0.1"), "": ("127.0.0.1",)}


class AppPort:
    def __init__(self, loop: EventLoop, host: str, port: int):
        self._loop = loop
        self._hosts = _WILDCARDS.get(host, (host,))
        self._port = port
        self._timer: Timer | None = None

    def is_open(self) -> bool:
        return any(_connects(host, self._port) for host in self._hosts)

    def wait(self, on_open: Callable[[], None]) -> None:
        started = time.monotonic()

        def step() -> None:
            if self.is_open():
                self._timer = None
                return on_open()
            is_slow = time.monotonic() - started > SLOW_AFTER_SECONDS
            self._timer = self._loop.after(SLOW_STEP_SECONDS if is_slow else STEP_SECONDS, step)

        self._timer = self._loop.after(0, step)

    def stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _connects(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            result = probe.connect_ex((host, port))
            if result == errno.EINPROGRESS:
                waiting = select.poll()
                waiting.register(probe.fileno(), select.POLLOUT)
                if not waiting.poll(CONNECT_WAIT_MS):
                    return False
                result = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            # A port of the ephemeral range can be connected to itself.
            return result == 0 and probe.getsockname() != probe.getpeername()
    except OSError:
        return False
