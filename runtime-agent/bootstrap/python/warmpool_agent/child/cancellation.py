"""Stops a running call: the agent's signal raises RequestCancelled in the main thread, and only while user code runs."""

from __future__ import annotations

import signal
import time
from typing import Callable

# The agent tells how many signals it has sent; one of an earlier call that is still on its way must not hit the next.
SETTLE_SECONDS = 0.5


class RequestCancelled(KeyboardInterrupt):
    """A KeyboardInterrupt, since asyncio and `except Exception` let that one through."""

    __module__ = "warmpool"


class Cancellation:
    def __init__(self) -> None:
        self.is_cancelled = False
        self._seen = 0
        self._settled = 0
        self._is_armed = False

    def install(self) -> None:
        signal.signal(signal.SIGUSR1, self._on_signal)
        # Does nothing but end a wait that began too late for the other one to be noticed.
        signal.signal(signal.SIGURG, lambda _number, _frame: None)

    def settle(self, sent: int) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while self._seen < sent and time.monotonic() < deadline:
            time.sleep(0.0002)
        # One more than that is for this call already, and came before it could be armed.
        self._seen = max(self._seen, sent)
        self._settled = sent

    def __enter__(self) -> "Cancellation":
        self.is_cancelled = False
        self._is_armed = True
        if self._seen > self._settled:
            self._is_armed = False
            self._cancel()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._is_armed = False

    def shield(self, step: Callable[[], None]) -> None:
        """For what must not be left half done. A signal that came meanwhile counts when it is over."""
        seen = self._seen
        self._is_armed = False
        try:
            step()
        finally:
            self._is_armed = True
        if self._seen > seen:
            self._cancel()

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._seen += 1
        if self._is_armed:
            self._cancel()

    def _cancel(self) -> None:
        self.is_cancelled = True
        raise RequestCancelled("the request was cancelled")
