"""What user code raised, told as its author knows it: without the frames of the agent and of the import machinery."""

from __future__ import annotations

import os
import traceback
from types import TracebackType

MAX_STACK_CHARACTERS = 16 * 1024
MAX_MESSAGE_CHARACTERS = 4 * 1024
_AGENT_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class UserCodeFailed(Exception):
    """The load cannot succeed; `code` is `UserCodeError` or `HandlerNotFound`."""

    def __init__(self, code: str, phase: str, message: str, stack: str | None = None):
        super().__init__(message)
        self.code = code
        self.phase = phase
        self.message = message
        self.stack = stack


def describe_error(error: BaseException) -> tuple[str, str]:
    """Message and stack."""
    try:
        lines = traceback.format_exception(type(error), error, _user_frames(error.__traceback__))
        stack = "".join(lines).rstrip()
    except Exception as broken:
        stack = f"{type(error).__name__} (its traceback cannot be printed: {type(broken).__name__})"
    return _message(error), stack[-MAX_STACK_CHARACTERS:]


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be printed)"
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:MAX_MESSAGE_CHARACTERS]


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(_AGENT_FOLDER) and not file.startswith("<frozen importlib") and not _is_importlib(file):
            return trace
        trace = trace.tb_next
    return None


def _is_importlib(file: str) -> bool:
    return file.endswith(os.path.join("importlib", "__init__.py"))
