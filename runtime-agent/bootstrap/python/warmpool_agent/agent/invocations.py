"""Requests to a handler: one at a time, the others in order, each with a deadline that the agent enforces."""

from __future__ import annotations

import re

import os
from collections import deque

from ..errors import AgentError
from ..event_loop import EventLoop
from ..frames import Frame
from ..http.parser import Request
from ..http.responder import Responder
from .child_process import ChildProcess
from .ending import Ending
from .exit_cause import ExitCause
from .invocation import Invocation
from .lifecycle import Lifecycle
from .load_request import LoadRequest
from .log_pipes import LogPipes
from .requests import RequestHistory

MAX_QUEUED = 100
RETRY_AFTER_SECONDS = 1
# Of a stream, in the agent's own memory.
MAX_UNREAD_BYTES = 256 * 1024
# What a request over its deadline has to clean up, from its interruption to the end of the process.
TIMEOUT_GRACE_SECONDS = 0.2
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UNIX_MS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


class Invocations:
    def __init__(
        self,
        loop: EventLoop,
        lifecycle: Lifecycle,
        child: ChildProcess,
        logs: LogPipes,
        ending: Ending,
        history: RequestHistory,
    ):
        self._loop = loop
        self._lifecycle = lifecycle
        self._child = child
        self._logs = logs
        self._ending = ending
        self._history = history
        self._load: LoadRequest | None = None
        self._queue: deque[Invocation] = deque()
        self._running: Invocation | None = None

    @property
    def is_idle(self) -> bool:
        return self._running is None and not self._queue

    def start(self, load: LoadRequest) -> None:
        self._load = load

    def submit(self, request: Request, responder: Responder) -> None:
        request_id = request.headers.get("x-request-id") or os.urandom(16).hex()
        try:
            invocation = self._admit(request_id, request, responder)
        except AgentError as error:
            is_sent_back = _REQUEST_ID.fullmatch(request_id) is not None
            return responder.send_error(error, [("X-Request-Id", request_id)] if is_sent_back else [])
        self._lifecycle.touch()
        if invocation.remaining_seconds <= 0:
            return self._end(invocation, "timed_out", _timed_out(invocation, "before it could start"))
        self._queue.append(invocation)
        if self._running is None:
            return self._next()
        responder.on_gone = lambda: self._drop(invocation)
        invocation.start_timer(self._loop, invocation.remaining_seconds, lambda: self._overdue(invocation))

    def kill(self, request_id: str, is_forced: bool, grace_ms: int, reason: str) -> tuple[int, str]:
        """Status and the request's state."""
        record = self._history.find(request_id)
        if record is None:
            raise AgentError("RequestUnknown", f'no request "{request_id}" is known to this process')
        if not record.is_live:
            return 200, record.state
        why = f'the request "{request_id}" was killed' + (f": {reason}" if reason else "")
        running = self._running
        if running is None or running.record is not record:
            self._withdraw(request_id, why)
            return 202, record.state
        self._stop(running, "kill", why)
        if is_forced:
            self._child.kill()
        else:
            running.start_timer(self._loop, grace_ms / 1000, self._child.kill)
            self._child.interrupt()
        return 202, record.state

    def cut_short(self, why: str) -> None:
        """The process ends: what runs is lost with it, what waits has not been started."""
        running, self._running = self._running, None
        if running is not None:
            self._end(running, "lost", AgentError("RequestKilled", f'the request "{running.id}" was lost: {why}'))
        while self._queue:
            waiting = self._queue.popleft()
            self._end(waiting, "lost", AgentError("Draining", f'the request "{waiting.id}" was not started: {why}'))

    def on_frame(self, frame: Frame) -> None:
        running = self._running
        if running is None:
            return
        kind = frame.head["type"]
        if kind in ("begin", "piece"):
            return self._pass_on(running, frame)
        # The child wrote everything of this request before it replied.
        self._logs.end_request()
        self._child.end_call()
        self._running = None
        if running.stopped_by == "timeout":
            # It could clean up, but an exception from nowhere may have left its module half changed.
            self._end_stopped(running)
            return self._ending.fail("RequestTimeout", running.why, running.id)
        if running.stopped_by is not None:
            self._end_stopped(running)
        elif kind == "result":
            self._succeed(running, frame)
        elif kind == "streamed":
            self._succeed_streaming(running)
        elif kind == "badJson":
            self._end(running, "failed", AgentError("BadJson", frame.head["message"]))
        elif kind == "exit":
            exit_code = frame.head["exitCode"]
            message = f'the function called exit({exit_code}) in the request "{running.id}"'
            self._end(running, "failed", AgentError("UserError", message, phase="invoke"))
            return self._ending.fail("Exited", message, running.id)
        else:
            error = AgentError("UserError", frame.head["message"], phase="invoke", stack=frame.head.get("stack"))
            self._end(running, "failed", error)
        self._next()

    def on_child_exit(self, cause: ExitCause) -> bool:
        """False when no request was running."""
        running, self._running = self._running, None
        if running is None:
            return False
        self._logs.end_request()
        if running.stopped_by == "timeout":
            reason, message = "RequestTimeout", running.why
        elif running.stopped_by == "kill":
            reason, message = "Killed", running.why
        else:
            reason, message = cause.reason, f'the function\'s process {cause.message} in the request "{running.id}"'
        if running.stopped_by is not None:
            self._end_stopped(running)
        else:
            self._end(running, "failed", AgentError("UserError", message, phase="invoke"))
        self._ending.fail(reason, message, running.id)
        return True

    def _admit(self, request_id: str, request: Request, responder: Responder) -> Invocation:
        if self._lifecycle.state in ("draining", "terminated", "failed"):
            raise AgentError("Draining", "the process is ending and takes no more requests")
        load = self._load
        if load is None:
            raise AgentError("NotLoaded", "no function with a handler is loaded in this process")
        if _REQUEST_ID.fullmatch(request_id) is None:
            raise _bad_header("X-Request-Id", 'must be 1 to 128 letters, digits, ".", "_", ":" or "-"')
        known = self._history.find(request_id)
        if known is not None and known.is_live:
            raise AgentError("RequestIdInUse", f'a request with the id "{request_id}" is {known.state}')
        given_deadline = request.headers.get("x-deadline-ms")
        if given_deadline is not None and _UNIX_MS.fullmatch(given_deadline) is None:
            raise _bad_header("X-Deadline-Ms", f"must be Unix milliseconds, it is {given_deadline[:40]!r}")
        if len(self._queue) >= MAX_QUEUED:
            message = f"{MAX_QUEUED} requests are waiting already"
            raise AgentError("QueueFull", message, retry_after_seconds=RETRY_AFTER_SECONDS)
        return Invocation(
            self._history.add(request_id),
            request,
            responder,
            None if given_deadline is None else float(given_deadline),
            load.request_timeout_ms,
        )

    def _next(self) -> None:
        if self._queue and not self._lifecycle.is_ended:
            return self._run(self._queue.popleft())
        if self._lifecycle.state == "busy":
            self._lifecycle.to("ready")
        self._ending.proceed()

    def _run(self, invocation: Invocation) -> None:
        if self._lifecycle.state == "ready":
            self._lifecycle.to("busy")
        self._running = invocation
        invocation.is_first = self._history.executions == 0
        self._history.run(invocation.record)
        invocation.responder.on_gone = None
        self._logs.drain()
        self._logs.request_id = invocation.id
        seconds = invocation.begin()
        invocation.start_timer(self._loop, seconds, lambda: self._overdue(invocation))
        self._child.send(invocation.call(self._child.interrupts_sent), invocation.request.body)

    def _overdue(self, invocation: Invocation) -> None:
        if invocation is not self._running:
            self._queue.remove(invocation)
            return self._end(invocation, "timed_out", _timed_out(invocation, "while it waited for its turn"))
        why = f'the request "{invocation.id}" did not end within {invocation.allowed_ms:.0f} ms'
        self._stop(invocation, "timeout", why)
        invocation.start_timer(self._loop, TIMEOUT_GRACE_SECONDS, self._child.kill)
        self._child.interrupt()

    def _stop(self, running: Invocation, by: str, why: str) -> None:
        running.stop(by, why)
        # Whoever waits for a slow client cannot heed it.
        self._child.resume()

    def _pass_on(self, running: Invocation, frame: Frame) -> None:
        """A piece of a stream. The child waits while the client does not keep up."""
        if running.stopped_by is not None:
            return
        responder = running.responder
        if frame.head["type"] == "begin":
            responder.on_gone = lambda: self._abandon(running)
            responder.on_drained = self._child.resume
            responder.begin(frame.head["status"], [*map(tuple, frame.head["headers"]), *running.headers()])
        if responder.write(frame.body) > MAX_UNREAD_BYTES:
            self._child.pause()

    def _withdraw(self, request_id: str, why: str) -> None:
        invocation = next(waiting for waiting in self._queue if waiting.id == request_id)
        self._queue.remove(invocation)
        self._end(invocation, "cancelled", AgentError("RequestKilled", why))

    def _drop(self, invocation: Invocation) -> None:
        """Its client went away while it waited."""
        if invocation in self._queue:
            self._queue.remove(invocation)
            self._end(invocation, "cancelled", AgentError("RequestKilled", "the client closed the connection"))

    def _abandon(self, running: Invocation) -> None:
        """Its client went away in the middle of the stream: nobody wants the rest, and a source without an end would run into its deadline."""
        if running is self._running and running.stopped_by is None:
            self._stop(running, "kill", "the client closed the connection")
            self._child.interrupt()

    def _end_stopped(self, invocation: Invocation) -> None:
        if invocation.stopped_by == "timeout":
            self._end(invocation, "timed_out", AgentError("RequestTimeout", invocation.why))
        else:
            self._end(invocation, "cancelled", AgentError("RequestKilled", invocation.why))

    def _succeed(self, invocation: Invocation, frame: Frame) -> None:
        invocation.cancel_timer()
        self._history.end(invocation.record, "succeeded", None)
        self._lifecycle.touch()
        headers = [(name, value) for name, value in frame.head["headers"]]
        invocation.responder.send(frame.head["status"], headers + invocation.headers(), frame.body)

    def _succeed_streaming(self, invocation: Invocation) -> None:
        invocation.cancel_timer()
        self._history.end(invocation.record, "succeeded", None)
        self._lifecycle.touch()
        invocation.responder.end()

    def _end(self, invocation: Invocation, state: str, error: AgentError) -> None:
        invocation.cancel_timer()
        self._history.end(invocation.record, state, error.message)
        self._lifecycle.last_error = {"code": error.code, "message": error.message}
        self._lifecycle.touch()
        invocation.responder.send_error(error, invocation.headers())


def _bad_header(name: str, message: str) -> AgentError:
    return AgentError("BadRequest", f"{name}: {message}", details=[{"field": name, "message": message}])


def _timed_out(invocation: Invocation, when: str) -> AgentError:
    return AgentError("RequestTimeout", f'the deadline of the request "{invocation.id}" passed {when}')
