"""One request on its way through the process."""

from __future__ import annotations

import time
from typing import Any, Callable
from urllib.parse import parse_qsl

from ..event_loop import EventLoop, Timer
from ..http.parser import Request
from ..http.responder import Responder
from .requests import RequestRecord


class Invocation:
    def __init__(
        self,
        record: RequestRecord,
        request: Request,
        responder: Responder,
        given_deadline_unix_ms: float | None,
        request_timeout_ms: int,
    ):
        self.record = record
        self.request = request
        self.responder = responder
        self.is_first = False
        # `timeout` or `kill`: whatever the call replies now, this is why it ended.
        self.stopped_by: str | None = None
        self.why = ""
        self.allowed_ms = float(request_timeout_ms)
        self.deadline_unix_ms = 0.0
        self._given_deadline_unix_ms = given_deadline_unix_ms
        self._arrived = time.perf_counter()
        self._began: float | None = None
        self._timer: Timer | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def remaining_seconds(self) -> float:
        """While it waits: the request timeout begins with the call, so a caller's own deadline is what can pass."""
        if self._given_deadline_unix_ms is None:
            return self.allowed_ms / 1000
        return self._given_deadline_unix_ms / 1000 - time.time()

    def begin(self) -> float:
        """The seconds that the call may take."""
        self._began = time.perf_counter()
        now_unix_ms = time.time() * 1000
        if self._given_deadline_unix_ms is not None:
            self.allowed_ms = max(0.0, min(self.allowed_ms, self._given_deadline_unix_ms - now_unix_ms))
        self.deadline_unix_ms = round(now_unix_ms + self.allowed_ms, 3)
        return self.allowed_ms / 1000

    def stop(self, by: str, why: str) -> None:
        if self.stopped_by is None:
            self.stopped_by, self.why = by, why

    def start_timer(self, loop: EventLoop, seconds: float, callback: Callable[[], None]) -> None:
        self.cancel_timer()
        self._timer = loop.after(seconds, callback)

    def cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def call(self, interrupts_sent: int) -> dict[str, Any]:
        request = self.request
        return {
            "type": "call",
            "id": self.id,
            "deadlineUnixMs": self.deadline_unix_ms,
            "contentType": request.headers.get("content-type", ""),
            "interruptsSent": interrupts_sent,
            "http": {
                "method": request.method,
                "path": request.path,
                "queryString": request.query,
                "query": dict(parse_qsl(request.query, keep_blank_values=True)) if request.query else {},
                "headers": request.headers,
            },
        }

    def headers(self) -> list[tuple[str, str]]:
        headers = [("X-Request-Id", self.id)]
        if self._began is not None:
            queue_ms = (self._began - self._arrived) * 1000
            handler_ms = (time.perf_counter() - self._began) * 1000
            headers.append(("X-Start-Type", "standby" if self.is_first else "warm"))
            headers.append(("Server-Timing", f"queue;dur={queue_ms:.3f}, handler;dur={handler_ms:.3f}"))
        return headers
