"""The process that runs user code, as the agent sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Callable

from ..event_loop import READABLE, WRITABLE, EventLoop, Timer
from ..frames import READ_BYTES, Frame, FrameDecoder, encode_for_child
from .exit_cause import ContainerMemory, ExitCause, describe_exit

NUDGE_SECONDS = 0.05
NUDGE_LIMIT_SECONDS = 1.0


class ChildProcess:
    def __init__(self, loop: EventLoop, pid: int, channel: socket.socket):
        self.pid = pid
        self.exit_cause: ExitCause | None = None
        self.on_frame: Callable[[Frame], None] = lambda _frame: None
        self.on_exit: Callable[[ExitCause], None] = lambda _cause: None
        self.interrupts_sent = 0
        self._loop = loop
        self._channel: socket.socket | None = channel
        self._decoder = FrameDecoder(json.loads)
        self._output = bytearray()
        self._is_waiting = False
        self._is_paused = False
        self._nudge: Timer | None = None
        self._memory = ContainerMemory()
        channel.setblocking(False)
        loop.watch(channel.fileno(), READABLE, self._on_ready)

    @property
    def is_alive(self) -> bool:
        return self.exit_cause is None

    def send(self, head: dict, body: bytes = b"") -> None:
        self._output += encode_for_child(head, body)
        self._write()

    def pause(self) -> None:
        """Hears nothing more of it, until its own buffers are full and it waits."""
        self._set_paused(True)

    def resume(self) -> None:
        self._set_paused(False)

    def interrupt(self) -> None:
        """Raises RequestCancelled in the running call; `end_call` when it is over."""
        if self.is_alive:
            self.interrupts_sent += 1
            os.kill(self.pid, signal.SIGUSR1)
            # Python looks for signals before it waits and when a wait was interrupted. One that comes between
            # that look and the wait itself is seen only when another one ends the wait.
            self.end_call()
            self._nudge_after(NUDGE_SECONDS)

    def end_call(self) -> None:
        if self._nudge is not None:
            self._nudge.cancel()
            self._nudge = None

    def ask_to_end(self, is_serving_itself: bool) -> None:
        """An app gets SIGTERM as it would from Kubernetes; the handler loop ends when its channel does."""
        if not self.is_alive:
            return
        if is_serving_itself:
            os.kill(self.pid, signal.SIGTERM)
        else:
            self._close_channel()

    def kill(self) -> None:
        """Its process group too: what user code started must not outlive it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        # The child leads its group only after its first steps.
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """As process 1 of a container the agent also inherits every orphan of user code."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._end(status)

    def _nudge_after(self, seconds: float) -> None:
        def nudge() -> None:
            if self.is_alive:
                os.kill(self.pid, signal.SIGURG)
                self._nudge_after(min(seconds * 2, NUDGE_LIMIT_SECONDS))

        self._nudge = self._loop.after(seconds, nudge)

    def _end(self, status: int) -> None:
        # What it said before it died counts.
        self._read()
        self._close_channel()
        self.exit_cause = describe_exit(status, self._memory.overrun())
        self.on_exit(self.exit_cause)

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._write()
        if events & ~WRITABLE:
            self._read()

    def _read(self) -> None:
        while self._channel is not None:
            try:
                data = self._channel.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                return self._close_channel()
            for frame in self._decoder.feed(data):
                self.on_frame(frame)
            if len(data) < READ_BYTES or (self._is_paused and self.is_alive):
                return

    def _write(self) -> None:
        if self._channel is None:
            return
        try:
            while self._output:
                del self._output[: self._channel.send(self._output[:READ_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            # It is dying: waitpid will say how.
            self._output.clear()
        is_waiting = len(self._output) > 0
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            self._rewatch()

    def _set_paused(self, is_paused: bool) -> None:
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            self._rewatch()

    def _rewatch(self) -> None:
        if self._channel is not None:
            events = (0 if self._is_paused else READABLE) | (WRITABLE if self._is_waiting else 0)
            self._loop.change(self._channel.fileno(), events)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._loop.unwatch(self._channel.fileno())
            self._channel.close()
            self._channel = None
