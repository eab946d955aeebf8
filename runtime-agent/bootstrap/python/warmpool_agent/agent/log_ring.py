"""Log lines of user code: cut out of bytes, attributed to the running request, the newest kept. No I/O."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, NamedTuple

MAX_LINE_BYTES = 16 * 1024
CUT_MARK = "…"


class LogLine(NamedTuple):
    seq: int
    time_unix_ms: float
    stream: str
    request_id: str | None
    text: str
    size_bytes: int


class LogRing:
    def __init__(self, limit_bytes: int, now_unix_ms: Callable[[], float]):
        self._limit_bytes = limit_bytes
        self._now_unix_ms = now_unix_ms
        self._lines: deque[LogLine] = deque()
        self._size_bytes = 0
        self._seq = 0
        self._is_truncated = False

    def add(self, stream: str, request_id: str | None, line: bytes, is_cut: bool) -> None:
        text = line.decode("utf-8", "ignore" if is_cut else "replace") + (CUT_MARK if is_cut else "")
        self._seq += 1
        self._lines.append(LogLine(self._seq, self._now_unix_ms(), stream, request_id, text, len(line)))
        # An empty line takes room too.
        self._size_bytes += len(line) + 1
        self._is_truncated = self._is_truncated or is_cut
        while self._size_bytes > self._limit_bytes:
            self._size_bytes -= self._lines.popleft().size_bytes + 1
            self._is_truncated = True

    def read(self, request_id: str | None, limit_bytes: int | None) -> dict[str, Any]:
        chosen: list[LogLine] = []
        is_truncated, size_bytes = self._is_truncated, 0
        for line in reversed(self._lines):
            if request_id is not None and line.request_id != request_id:
                continue
            size_bytes += line.size_bytes
            if limit_bytes is not None and size_bytes > limit_bytes:
                is_truncated = True
                break
            chosen.append(line)
        return {"lines": [_line_body(line) for line in reversed(chosen)], "truncated": is_truncated}


class LineCutter:
    """Bytes of one stream to whole lines. What follows the cut of a too long line is dropped up to its end."""

    def __init__(self, on_line: Callable[[bytes, bool], None]):
        self._on_line = on_line
        self._partial = bytearray()
        self._is_dropping = False

    def feed(self, data: bytes) -> None:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._append(piece)
            self.end_line()
        self._append(rest)

    def end_line(self) -> None:
        if not self._is_dropping:
            self._on_line(bytes(self._partial), False)
        self._partial.clear()
        self._is_dropping = False

    def flush(self) -> None:
        """A line without an end belongs to the request that wrote it."""
        if self._partial:
            self.end_line()
        self._is_dropping = False

    def _append(self, piece: bytes) -> None:
        if self._is_dropping:
            return
        self._partial += piece
        if len(self._partial) > MAX_LINE_BYTES:
            self._on_line(bytes(self._partial[:MAX_LINE_BYTES]), True)
            self._partial.clear()
            self._is_dropping = True


def _line_body(line: LogLine) -> dict[str, Any]:
    body = {"seq": line.seq, "timeUnixMs": line.time_unix_ms, "stream": line.stream, "text": line.text}
    if line.request_id is not None:
        body["requestId"] = line.request_id
    return body
