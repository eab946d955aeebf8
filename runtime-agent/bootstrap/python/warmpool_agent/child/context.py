"""What a handler is told about its request."""

from __future__ import annotations

import time
from typing import Any

from .cancellation import Cancellation


class Context:
    __slots__ = ("request_id", "deadline_unix_ms", "claim_id", "function", "service", "http", "_cancellation")

    def __init__(
        self,
        request_id: str,
        deadline_unix_ms: float,
        claim_id: str,
        function: dict[str, str],
        service: dict[str, str],
        http: dict[str, Any],
        cancellation: Cancellation,
    ):
        self.request_id = request_id
        self.deadline_unix_ms = deadline_unix_ms
        self.claim_id = claim_id
        self.function = function
        self.service = service
        self.http = http
        self._cancellation = cancellation

    @property
    def is_cancelled(self) -> bool:
        return self._cancellation.is_cancelled

    def remaining_time_ms(self) -> float:
        return max(0.0, self.deadline_unix_ms - time.time() * 1000)
