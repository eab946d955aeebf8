"""How a child ended, in words."""

from __future__ import annotations

import os
import re
import signal
from typing import NamedTuple

_MEMORY_EVENTS = "/sys/fs/cgroup/memory.events"


class ExitCause(NamedTuple):
    # `Exited` or `Crashed`, as in termination.json
    reason: str
    # completes the sentence "the function's process ..."
    message: str


class OutOfMemoryCounter:
    """The kernel's count of processes that it killed in this container for want of memory."""

    def __init__(self, path: str = _MEMORY_EVENTS):
        self._path = path
        self._before = self._read()

    def has_grown(self) -> bool:
        now = self._read()
        return now is not None and self._before is not None and now > self._before

    def _read(self) -> int | None:
        try:
            with open(self._path, encoding="ascii") as file:
                match = re.search(r"^oom_kill (\d+)$", file.read(), re.MULTILINE)
        except OSError:
            return None
        return int(match[1]) if match else None


def describe_exit(wait_status: int, has_run_out_of_memory: bool) -> ExitCause:
    if os.WIFEXITED(wait_status):
        return ExitCause("Exited", f"exited with code {os.WEXITSTATUS(wait_status)}")
    number = os.WTERMSIG(wait_status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL and has_run_out_of_memory:
        return ExitCause("Crashed", "was killed by the kernel: the container ran out of memory (SIGKILL)")
    if number == signal.SIGKILL:
        return ExitCause("Crashed", "was killed from outside with SIGKILL; a common cause is that memory ran out")
    return ExitCause("Crashed", f"was ended by {name}")
