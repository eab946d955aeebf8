"""The states of the process. `seq` orders everything that an observer can see of one epoch."""

from __future__ import annotations

import os
import time

CONTRACT_VERSION = "1.0"

_NEXT = {
    "booting": ("standby", "draining", "terminated", "failed"),
    "standby": ("loading", "draining", "terminated", "failed"),
    "loading": ("ready", "draining", "terminated", "failed"),
    "ready": ("busy", "draining", "terminated", "failed"),
    "busy": ("ready", "draining", "terminated", "failed"),
    "draining": ("terminated", "failed"),
    "failed": (),
    "terminated": (),
}


def now_unix_ms() -> float:
    return round(time.time() * 1000, 3)


class Lifecycle:
    def __init__(self) -> None:
        self.state = "booting"
        self.epoch = os.urandom(16).hex()
        self.seq = 0
        self.started_at_unix_ms = now_unix_ms()
        self.since_unix_ms = self.started_at_unix_ms
        self.last_error: dict[str, str] | None = None

    def to(self, state: str) -> None:
        if state == self.state:
            return
        if state not in _NEXT[self.state]:
            raise AssertionError(f"a process that is {self.state} cannot become {state}")
        self.state = state
        self.since_unix_ms = now_unix_ms()
        self.seq += 1

    def touch(self) -> None:
        self.seq += 1

    @property
    def is_ended(self) -> bool:
        return self.state in ("failed", "terminated")
