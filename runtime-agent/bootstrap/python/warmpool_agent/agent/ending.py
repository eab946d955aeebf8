"""How the process comes to its end: answers first, then the child, then itself."""

from __future__ import annotations

import time
from typing import Callable

from ..event_loop import EventLoop, Timer
from ..http.server import HttpServer
from .child_process import ChildProcess
from .exit_cause import ExitCause
from .lifecycle import Lifecycle
from .termination import TerminationNote

DRAIN_SECONDS = 10.0
FLUSH_SECONDS = 1.0
FLUSH_STEP_SECONDS = 0.002
# For exit handlers of user code, once nothing is running any more.
CHILD_END_SECONDS = 1.0


class Ending:
    def __init__(self, loop: EventLoop, lifecycle: Lifecycle, note: TerminationNote, child: ChildProcess):
        self._loop = loop
        self._lifecycle = lifecycle
        self._note = note
        self._child = child
        self._drain_timer: Timer | None = None
        self._is_leaving = False
        self.servers: list[HttpServer] = []
        # What must be over before a draining process ends, and what cuts it short.
        self.is_idle: Callable[[], bool] = lambda: True
        self.cut_short: Callable[[str], None] = lambda _why: None
        self.is_serving_itself: Callable[[], bool] = lambda: False

    def fail(self, reason: str, message: str, request_id: str | None = None) -> None:
        if self._lifecycle.is_ended:
            return
        self._lifecycle.last_error = {"code": reason, "message": message}
        self._lifecycle.to("failed")
        self._note.write(reason, message, request_id)
        self.cut_short(message)
        self._leave(1)

    def finish(self, exit_code: int = 0) -> None:
        if self._lifecycle.is_ended:
            return
        self._lifecycle.to("terminated")
        self.cut_short("the process has ended")
        self._leave(exit_code)

    def drain(self, grace_seconds: float, on_overdue: Callable[[], None] | None = None) -> None:
        if self._lifecycle.is_ended or self._lifecycle.state == "draining":
            return
        has_function = self._lifecycle.state in ("ready", "busy")
        self._lifecycle.to("draining")
        if not has_function:
            return self.finish()
        self._drain_timer = self._loop.after(grace_seconds, on_overdue or self.finish)
        if self.is_serving_itself():
            self._child.ask_to_end(True)
        self.proceed()

    def proceed(self) -> None:
        """Call whenever something ended that a draining process may have waited for."""
        if self._lifecycle.state == "draining" and self.is_idle() and not self.is_serving_itself():
            self._child.ask_to_end(False)
            self._loop.after(CHILD_END_SECONDS, self.finish)

    def child_ended(self, cause: ExitCause, message: str) -> None:
        """While nothing was loading or running."""
        if self._lifecycle.state == "draining":
            self.finish()
        else:
            self.fail(cause.reason, message)

    def _leave(self, exit_code: int) -> None:
        if self._is_leaving:
            return
        self._is_leaving = True
        self._child.kill()
        deadline = time.monotonic() + FLUSH_SECONDS

        def step() -> None:
            if all(server.is_flushed for server in self.servers) or time.monotonic() > deadline:
                self._loop.stop(exit_code)
            else:
                self._loop.after(FLUSH_STEP_SECONDS, step)

        # The answer that tells of the end is given after this call.
        self._loop.after(0, step)
