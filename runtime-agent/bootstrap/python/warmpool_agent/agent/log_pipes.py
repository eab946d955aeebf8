"""The child's stdout and stderr. Read without blocking, kept in the ring, passed on to the agent's own."""

from __future__ import annotations

import os
import select
from typing import Callable

from ..event_loop import READABLE, WRITABLE, EventLoop
from .log_ring import LineCutter, LogRing

READ_BYTES = 64 * 1024
# A child that writes without end must not keep the agent from its other work.
MAX_DRAIN_BYTES = 2 * 1024 * 1024
MAX_PASS_ON_BYTES = 1024 * 1024
# What a pipe that is writable takes without blocking (PIPE_BUF).
PASS_ON_BYTES = 4096
LAST_WORDS_MS = 200


class LogPipes:
    def __init__(self, loop: EventLoop, ring: LogRing, stdout_fd: int, stderr_fd: int):
        self._ring = ring
        self.request_id: str | None = None
        self._pipes = [
            _LogPipe(loop, stdout_fd, 1, lambda line, is_cut: self._keep("stdout", line, is_cut)),
            _LogPipe(loop, stderr_fd, 2, lambda line, is_cut: self._keep("stderr", line, is_cut)),
        ]

    @property
    def is_muted(self) -> bool:
        return any(pipe.is_muted for pipe in self._pipes)

    @is_muted.setter
    def is_muted(self, is_muted: bool) -> None:
        for pipe in self._pipes:
            pipe.is_muted = is_muted

    def start_keeping(self) -> None:
        """Nothing that was written before the load is the user's; the last of it was drained with the rehearsal."""
        for pipe in self._pipes:
            pipe.is_kept = True

    def drain(self) -> None:
        for pipe in self._pipes:
            pipe.drain()

    def finish(self) -> None:
        """The last words of a process that ends, as far as somebody takes them."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.write_out(LAST_WORDS_MS)

    def end_request(self) -> None:
        """Call when everything that the request wrote is in the pipes."""
        for pipe in self._pipes:
            pipe.drain()
            pipe.lines.flush()
        self.request_id = None

    def _keep(self, stream: str, line: bytes, is_cut: bool) -> None:
        self._ring.add(stream, self.request_id, line, is_cut)


class _LogPipe:
    def __init__(self, loop: EventLoop, fd: int, pass_on_fd: int, on_line: Callable[[bytes, bool], None]):
        self._loop = loop
        self._fd = fd
        self._pass_on_fd = pass_on_fd
        self._waiting = bytearray()
        self._dropped_bytes = 0
        self.lines = LineCutter(on_line)
        self.is_kept = False
        self.is_muted = False
        os.set_blocking(fd, False)
        loop.watch(fd, READABLE, lambda _events: self._read())

    def drain(self) -> None:
        left_bytes = MAX_DRAIN_BYTES
        while left_bytes > 0:
            read_bytes = self._read()
            if read_bytes == 0:
                return
            left_bytes -= read_bytes

    def write_out(self, timeout_ms: int) -> None:
        waiting = select.poll()
        waiting.register(self._pass_on_fd, select.POLLOUT)
        while self._waiting and waiting.poll(timeout_ms):
            self._write()

    def _read(self) -> int:
        if self._fd < 0:
            return 0
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
            return 0
        if self.is_kept:
            self.lines.feed(data)
        if not self.is_muted:
            self._pass_on(data)
        return len(data)

    def _pass_on(self, data: bytes) -> None:
        if len(self._waiting) + len(data) > MAX_PASS_ON_BYTES:
            # Whoever reads the container's output does not keep up: the ring still has the newest lines.
            self._dropped_bytes += len(data)
            return
        if not self._waiting:
            self._loop.watch(self._pass_on_fd, WRITABLE, lambda _events: self._write())
        self._waiting += data

    def _write(self) -> None:
        try:
            del self._waiting[: os.write(self._pass_on_fd, self._waiting[:PASS_ON_BYTES])]
        except BlockingIOError:
            return
        except OSError:
            # Nobody holds the other end any more.
            self._waiting.clear()
        if not self._waiting:
            self._loop.unwatch(self._pass_on_fd)
            if self._dropped_bytes > 0:
                notice = f"warmpool: {self._dropped_bytes} bytes of output were dropped: it was not read in time\n"
                self._dropped_bytes = 0
                self._pass_on(notice.encode())
