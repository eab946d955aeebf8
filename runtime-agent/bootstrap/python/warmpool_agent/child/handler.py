"""A function of the user, plain or async, called with event and context."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from ..frames import Frame
from .async_loop import AsyncLoop
from .context import Context
from .payload import Result, read_event
from .streams import Stream, read_answer


class Handler:
    def __init__(self, function: Callable[..., Any]):
        self._function = function
        self._loop = AsyncLoop()

    def answer(self, frame: Frame, context: Context) -> Result | Stream:
        value = self._function(read_event(frame.head["contentType"], frame.body), context)
        if inspect.isawaitable(value):
            value = self._loop.run(value)
        return read_answer(value, self._loop.run)
