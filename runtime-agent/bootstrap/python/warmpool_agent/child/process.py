"""The first steps of the forked child: its own descriptors, signals and process group, and no sight of the agent."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
from types import ModuleType

_PR_SET_PDEATHSIG = 1
AGENT_PACKAGE = __name__.partition(".")[0]


def die_with_agent(agent_pid: int) -> None:
    """The kernel kills the child when the agent dies, however it dies and whatever user code is doing."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != agent_pid:
        os._exit(1)


def lead_own_group() -> None:
    os.setpgid(0, 0)


def take_streams(stdout_fd: int, stderr_fd: int) -> None:
    null_fd = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null_fd, 0), (stdout_fd, 1), (stderr_fd, 2)):
        os.dup2(source, target)
        os.close(source)
    wrap_streams()


def wrap_streams() -> None:
    sys.stdin = sys.__stdin__ = _text_stream(0, "r")
    sys.stdout = sys.__stdout__ = _text_stream(1, "w")
    sys.stderr = sys.__stderr__ = _text_stream(2, "w")


def reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def hide_agent(agent_folder: str) -> None:
    """User code may have modules of any name, `main` and `agent` too; those of the agent stay reachable for itself only."""
    for name in [name for name in sys.modules if name.partition(".")[0] == AGENT_PACKAGE]:
        del sys.modules[name]
    sys.path[:] = [folder for folder in sys.path if folder and os.path.abspath(folder) != agent_folder]
    for folder in [folder for folder in sys.path_importer_cache if folder.startswith(agent_folder)]:
        del sys.path_importer_cache[folder]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.dont_write_bytecode = True


def _text_stream(fd: int, mode: str) -> io.TextIOWrapper:
    """Whole lines reach the pipe in one write; an answer is sent after a flush."""
    errors = "backslashreplace" if mode == "w" else "strict"
    return io.open(fd, mode, encoding="utf-8", errors=errors, buffering=1, closefd=False)
