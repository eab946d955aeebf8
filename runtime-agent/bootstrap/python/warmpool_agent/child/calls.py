"""Calls the user's function, plain or async, and tells what came of it."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Callable

from ..frames import Frame
from .cancellation import Cancellation, RequestCancelled
from .context import Context
from .payload import EventIsBroken, ResultIsUnsendable, read_event, write_result
from .user_code import exit_code_of
from .user_errors import describe_error

Reply = "tuple[dict[str, Any], bytes]"


class Calls:
    def __init__(self, handler: Callable[..., Any], load: dict[str, Any], cancellation: Cancellation):
        self._handler = handler
        self._load = load
        self._cancellation = cancellation
        self._event_loop: Any = None

    def call(self, frame: Frame) -> Reply:
        head = frame.head
        self._cancellation.settle(head["interruptsSent"])
        process_id = os.getpid()
        try:
            event = read_event(head["contentType"], frame.body)
        except EventIsBroken as error:
            return {"type": "badJson", "message": str(error)}, b""
        try:
            return self._run(event, head)
        except RequestCancelled as error:
            return _failed("cancelled", error)
        except SystemExit as ending:
            if os.getpid() != process_id:
                raise
            return {"type": "exit", "exitCode": exit_code_of(ending)}, b""
        except ResultIsUnsendable as error:
            return {"type": "error", "message": str(error)}, b""
        except BaseException as error:
            if os.getpid() != process_id:
                raise
            return _failed("error", error)
        finally:
            if os.getpid() != process_id:
                # The handler forked, and its copy came out of the call: it has no business on the channel.
                os._exit(_exit_code_of_copy())
            flush_output()

    def _run(self, event: Any, head: dict[str, Any]) -> Reply:
        context = Context(
            head["id"],
            head["deadlineUnixMs"],
            self._load["claimId"],
            self._load["function"],
            self._load["service"],
            head["http"],
            self._cancellation,
        )
        with self._cancellation:
            value = self._handler(event, context)
            if inspect.isawaitable(value):
                value = self._await(value)
            result = write_result(value)
        return {"type": "result", "status": result.status, "headers": result.headers}, result.body

    def _await(self, awaitable: Any) -> Any:
        """One event loop for the life of the process, so that clients made in one request can be used in the next."""
        import asyncio

        if self._event_loop is None or self._event_loop.is_closed():
            self._event_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._event_loop)
        loop = self._event_loop
        task = asyncio.ensure_future(awaitable, loop=loop)
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():
                task.cancel()
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            elif not task.cancelled():
                # Marks it as seen: it is raised here, and asyncio would log it a second time.
                task.exception()
            raise


def flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            # User code may have closed or replaced it.
            pass


def _failed(kind: str, error: BaseException) -> Reply:
    message, stack = describe_error(error)
    return {"type": kind, "message": message, "stack": stack}, b""


def _exit_code_of_copy() -> int:
    error = sys.exc_info()[1]
    flush_output()
    if isinstance(error, SystemExit):
        return exit_code_of(error)
    return 0 if error is None else 1
