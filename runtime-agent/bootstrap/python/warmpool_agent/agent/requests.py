"""What became of each request: the live ones, and the last hundred that ended."""

from __future__ import annotations

from typing import Any, Callable

MAX_RECORDS = 100


class RequestRecord:
    __slots__ = ("id", "state", "started_at_unix_ms", "ended_at_unix_ms", "exit_reason")

    def __init__(self, request_id: str, started_at_unix_ms: float):
        self.id = request_id
        self.state = "queued"
        self.started_at_unix_ms = started_at_unix_ms
        self.ended_at_unix_ms: float | None = None
        self.exit_reason: str | None = None

    @property
    def is_live(self) -> bool:
        return self.state in ("queued", "running")

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"id": self.id, "state": self.state, "startedAtUnixMs": self.started_at_unix_ms}
        if self.ended_at_unix_ms is not None:
            body["endedAtUnixMs"] = self.ended_at_unix_ms
        if self.exit_reason is not None:
            body["exitReason"] = self.exit_reason
        return body


class RequestHistory:
    def __init__(self, now_unix_ms: Callable[[], float]):
        self._now_unix_ms = now_unix_ms
        self._records: dict[str, RequestRecord] = {}
        self.executions = 0
        self.idle_since_unix_ms: float | None = None

    def add(self, request_id: str) -> RequestRecord:
        # An id that is used again starts a new record, at the end.
        self._records.pop(request_id, None)
        record = self._records[request_id] = RequestRecord(request_id, self._now_unix_ms())
        self._forget_oldest()
        return record

    def run(self, record: RequestRecord) -> None:
        record.state = "running"
        record.started_at_unix_ms = self._now_unix_ms()
        self.executions += 1
        self.idle_since_unix_ms = None

    def end(self, record: RequestRecord, state: str, exit_reason: str | None) -> None:
        record.state = state
        record.exit_reason = exit_reason
        record.ended_at_unix_ms = self._now_unix_ms()
        self._forget_oldest()
        if self.in_flight == 0:
            self.idle_since_unix_ms = record.ended_at_unix_ms

    def find(self, request_id: str) -> RequestRecord | None:
        return self._records.get(request_id)

    def bodies(self) -> list[dict[str, Any]]:
        return [record.body() for record in list(self._records.values())[-MAX_RECORDS:]]

    @property
    def in_flight(self) -> int:
        return sum(1 for record in self._records.values() if record.is_live)

    def _forget_oldest(self) -> None:
        while len(self._records) > MAX_RECORDS:
            oldest = next((record for record in self._records.values() if not record.is_live), None)
            if oldest is None:
                return
            del self._records[oldest.id]
