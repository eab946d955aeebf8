"""One asyncio loop for the life of the process, so that clients made in one request can be used in the next."""

from __future__ import annotations

from typing import Any


class AsyncLoop:
    def __init__(self) -> None:
        self._loop: Any = None

    def run(self, awaitable: Any) -> Any:
        import asyncio

        loop = self.get()
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

    def get(self) -> Any:
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop
