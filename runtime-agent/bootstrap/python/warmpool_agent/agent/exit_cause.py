"""How a child ended, in words."""

from __future__ import annotations

import os
import re
import signal
from typing import NamedTuple

_CGROUPS = "/sys/fs/cgroup"
# of cgroup v2 and of v1: how often the kernel ended a process here, and how much memory there is
_OOM_COUNTS = ("memory.events", "memory/memory.oom_control")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_MIB = 1024 * 1024
# v1 has a number where v2 says "max"
_NO_LIMIT = 1 << 60


class ExitCause(NamedTuple):
    # `Exited` or `Crashed`, as in termination.json
    reason: str
    # completes the sentence "the function's process ..."
    message: str


class ContainerMemory:
    """What the kernel says about the container's memory."""

    def __init__(self, folder: str = _CGROUPS):
        self._folder = folder
        self._kills_before = self._kills()

    def overrun(self) -> str | None:
        """In words, when the kernel has ended a process for want of memory since this was made."""
        kills = self._kills()
        if kills is None or self._kills_before is None or kills <= self._kills_before:
            return None
        limit = self._limit()
        return "the container ran out of memory" + (f", its limit is {limit // _MIB} MiB" if limit else "")

    def _kills(self) -> int | None:
        match = re.search(r"^oom_kill (\d+)$", self._read(_OOM_COUNTS), re.MULTILINE)
        return int(match[1]) if match else None

    def _limit(self) -> int | None:
        text = self._read(_LIMITS).strip()
        return int(text) if text.isdecimal() and int(text) < _NO_LIMIT else None

    def _read(self, names: tuple[str, ...]) -> str:
        for name in names:
            try:
                with open(os.path.join(self._folder, name), encoding="ascii") as file:
                    return file.read()
            except OSError:
                pass
        return ""


def describe_exit(wait_status: int, overrun: str | None) -> ExitCause:
    if os.WIFEXITED(wait_status):
        return ExitCause("Exited", f"exited with code {os.WEXITSTATUS(wait_status)}")
    number = os.WTERMSIG(wait_status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL and overrun is not None:
        return ExitCause("Crashed", f"was killed by the kernel: {overrun} (SIGKILL)")
    if number == signal.SIGKILL:
        return ExitCause("Crashed", "was killed from outside with SIGKILL; a common cause is that memory ran out")
    return ExitCause("Crashed", f"was ended by {name}")
