"""An app object of ASGI 3 (Starlette, FastAPI, Quart, Django): HTTP and lifespan, on the process's own loop."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Awaitable, Callable
from urllib.parse import unquote

from ..frames import Frame
from .async_loop import AsyncLoop
from .context import Context
from .payload import Result, check_size, sendable_headers
from .user_errors import UserCodeFailed
from .wsgi import AppIsBroken

# The agent ends the process a second after it was asked to end.
SHUTDOWN_SECONDS = 0.8
_VERSIONS = {"version": "3.0", "spec_version": "2.3"}

App = Callable[..., Awaitable[None]]


class AsgiApp:
    def __init__(self, app: App):
        self._app = app
        self._loop = AsyncLoop()
        self._lifespan = _Lifespan(app)
        self._loop.run(self._lifespan.start())

    def answer(self, frame: Frame, _context: Context) -> Result:
        return self._loop.run(self._exchange(frame))

    def close(self) -> None:
        self._loop.run(self._lifespan.stop())

    async def _exchange(self, frame: Frame) -> Result:
        is_answered = asyncio.Event()
        unread = [frame.body]
        started: dict[str, Any] = {}
        body = bytearray()

        async def receive() -> dict[str, Any]:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            await is_answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                check_size(len(body))
                if not message.get("more_body", False):
                    is_answered.set()

        await self._app(_scope(frame, self._lifespan.state), receive, send)
        if not is_answered.is_set() or not started:
            raise AppIsBroken("the app ended without a complete response")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in started.get("headers", ())]
        return Result(started["status"], sendable_headers(headers), bytes(body))


class _Lifespan:
    """An app that raises on `lifespan` has none, as the servers that people know take it."""

    def __init__(self, app: App):
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self.state}
        self._task = asyncio.ensure_future(self._app(scope, self._messages.get, self._replies.put))
        reply = await self._tell("lifespan.startup")
        if reply is not None and reply["type"] == "lifespan.startup.failed":
            message = f"the app's startup failed: {reply.get('message') or 'it gave no reason'}"
            raise UserCodeFailed("UserCodeError", "import", message)

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            try:
                await asyncio.wait_for(self._tell("lifespan.shutdown"), SHUTDOWN_SECONDS)
            except asyncio.TimeoutError:
                pass

    async def _tell(self, kind: str) -> dict[str, Any] | None:
        """What the app says to it; None when it has come to its end without a word."""
        assert self._task is not None
        await self._messages.put({"type": kind})
        reply = asyncio.ensure_future(self._replies.get())
        await asyncio.wait((self._task, reply), return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        reply.cancel()
        if not self._task.cancelled():
            # Marks it as seen.
            self._task.exception()
        return None


def _scope(frame: Frame, state: dict[str, Any]) -> dict[str, Any]:
    http = frame.head["http"]
    host, _, port = http["headers"].get("host", "").partition(":")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": http["method"],
        "scheme": "http",
        "path": unquote(http["path"]),
        "raw_path": http["path"].encode("latin-1"),
        "query_string": http["queryString"].encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in http["headers"].items()],
        "client": None,
        "server": (host or "localhost", int(port) if port.isdigit() else int(os.environ.get("PORT", "80"))),
        "state": dict(state),
    }
