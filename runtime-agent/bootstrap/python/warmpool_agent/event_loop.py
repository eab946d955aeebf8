"""One thread, one poll: the agent has no second thread, since it forks, and never blocks, since it answers for code that does."""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from typing import Callable

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


class Timer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]):
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class EventLoop:
    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_count = 0
        self._exit_code: int | None = None

    def watch(self, fd: int, events: int, on_ready: Callable[[int], None]) -> None:
        self._watched[fd] = on_ready
        self._poll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._poll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        self._timer_count += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._timer_count, timer))
        return timer

    def on_signals(self, signals: tuple[int, ...], on_signal: Callable[[int], None]) -> None:
        """Signals come as bytes on a pipe, so that they are handled between events like everything else."""
        read_fd, write_fd = os.pipe()
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda _number, _frame: None)

        def drain(_events: int) -> None:
            for number in os.read(read_fd, 512):
                on_signal(number)

        self.watch(read_fd, READABLE, drain)

    def run(self) -> int:
        while self._exit_code is None:
            self._fire_timers()
            if self._exit_code is not None:
                break
            for fd, events in self._poll.poll(self._wait_ms()):
                on_ready = self._watched.get(fd)
                if on_ready is not None:
                    on_ready(events)
        return self._exit_code

    def stop(self, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code

    def _wait_ms(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, (self._timers[0][0] - time.monotonic()) * 1000) if self._timers else None

    def _fire_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
