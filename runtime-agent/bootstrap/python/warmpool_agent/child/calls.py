"""Calls the user's function or app and tells what came of it."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from ..frames import Frame
from .cancellation import Cancellation, RequestCancelled
from .context import Context
from .payload import EventIsBroken, Result, ResultIsUnsendable
from .streams import Stream
from .user_code import exit_code_of
from .user_errors import describe_error

Reply = "tuple[dict[str, Any], bytes]"
# How a handler or an app makes a result of a request.
Answer = Callable[[Frame, Context], "Result | Stream"]
Send = Callable[["dict[str, Any]", bytes], None]


class Calls:
    def __init__(self, answer: Answer, load: dict[str, Any], cancellation: Cancellation, send: Send):
        self._answer = answer
        self._load = load
        self._cancellation = cancellation
        self._send = send

    def call(self, frame: Frame) -> Reply:
        head = frame.head
        self._cancellation.settle(head["interruptsSent"])
        process_id = os.getpid()
        try:
            return self._run(frame)
        except EventIsBroken as error:
            return {"type": "badJson", "message": str(error)}, b""
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

    def _run(self, frame: Frame) -> Reply:
        head = frame.head
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
            result = self._answer(frame, context)
            if isinstance(result, Stream):
                return self._stream(result)
        return {"type": "result", "status": result.status, "headers": result.headers}, result.body

    def _stream(self, stream: Stream) -> Reply:
        """Told from the first piece on, so that one that fails before is an error like any other."""
        head: dict[str, Any] = {"type": "begin", "status": stream.status, "headers": stream.headers}
        try:
            for piece in stream.pieces:
                self._tell(head, piece)
                head = {"type": "piece"}
        finally:
            # what it cleans up is still this request's
            stream.pieces.close()
        if head["type"] == "begin":
            self._tell(head, b"")
        return {"type": "streamed"}, b""

    def _tell(self, head: dict[str, Any], body: bytes) -> None:
        self._cancellation.shield(lambda: self._send(head, body))


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
