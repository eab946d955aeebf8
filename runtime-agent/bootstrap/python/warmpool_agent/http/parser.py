"""HTTP/1.1 requests out of bytes as they come. No I/O."""

from __future__ import annotations

import re
from typing import Callable, NamedTuple

from ..errors import AgentError

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 256
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;.*)?")


class Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    is_kept_alive: bool
    takes_chunks: bool = True


class _Head(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    is_kept_alive: bool
    takes_chunks: bool
    # None: the body is chunked
    body_bytes: int | None
    limit_bytes: int


class RequestParser:
    """After an AgentError the bytes that follow have no meaning: answer and close."""

    def __init__(self, body_limit_bytes: Callable[[str], int]):
        self._body_limit_bytes = body_limit_bytes
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks = bytearray()

    @property
    def is_within_request(self) -> bool:
        return self._head is not None or len(self._buffer) > 0

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def takes_continue(self) -> bool:
        """True once for a client that waits for `100 Continue` before it sends its body."""
        if self._head is None or self._head.headers.get("expect", "").lower() != "100-continue":
            return False
        del self._head.headers["expect"]
        return True

    def next_request(self) -> Request | None:
        if self._head is None:
            self._head = self._read_head()
        head = self._head
        if head is None:
            return None
        body = self._read_chunked(head) if head.body_bytes is None else self._read_sized(head.body_bytes)
        if body is None:
            return None
        self._head = None
        path, _, query = head.target.partition("?")
        return Request(head.method, path, query, head.headers, body, head.is_kept_alive, head.takes_chunks)

    def _read_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
            raise AgentError("HeadersTooLarge", f"the request's headers are larger than {MAX_HEAD_BYTES} bytes")
        if end < 0:
            return None
        request_line, *lines = self._buffer[:end].decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._buffer[: end + 4]
        match = _REQUEST_LINE.fullmatch(request_line)
        if match is None:
            raise AgentError("BadHttp", "the request line is not that of HTTP/1.1")
        headers = _parse_headers(lines)
        connection = headers.get("connection", "").lower()
        is_kept_alive = "close" not in connection if match[3] == "1" else "keep-alive" in connection
        path = match[2].partition("?")[0]
        limit_bytes = self._body_limit_bytes(path)
        takes_chunks = match[3] == "1"
        return _Head(match[1], match[2], headers, is_kept_alive, takes_chunks, _body_bytes(headers, limit_bytes), limit_bytes)

    def _read_sized(self, size: int) -> bytes | None:
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    def _read_chunked(self, head: _Head) -> bytes | None:
        while True:
            line_end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE_BYTES)
            if line_end < 0:
                if len(self._buffer) >= MAX_CHUNK_LINE_BYTES:
                    raise AgentError("BadHttp", "a chunk's size line is too long")
                return None
            match = _CHUNK_SIZE.fullmatch(self._buffer[:line_end])
            if match is None:
                raise AgentError("BadHttp", "a chunk's size is not a hexadecimal number")
            size = int(match[1], 16)
            if len(self._chunks) + size > head.limit_bytes:
                raise _body_too_large(head.limit_bytes)
            if size == 0:
                return self._read_trailers(line_end + 2)
            end = line_end + 2 + size
            if len(self._buffer) < end + 2:
                return None
            if self._buffer[end : end + 2] != b"\r\n":
                raise AgentError("BadHttp", "a chunk is not as long as its size says")
            self._chunks += self._buffer[line_end + 2 : end]
            del self._buffer[: end + 2]

    def _read_trailers(self, start: int) -> bytes | None:
        if self._buffer[start : start + 2] == b"\r\n":
            end = start + 2
        else:
            end = self._buffer.find(b"\r\n\r\n", start) + 4
            if end < 4:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise AgentError("HeadersTooLarge", f"the request's trailers are larger than {MAX_HEAD_BYTES} bytes")
                return None
        del self._buffer[:end]
        body = bytes(self._chunks)
        self._chunks.clear()
        return body


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise AgentError("BadHttp", f"the header line {line[:80]!r} is not a name, a colon and a value")
        name, value = name.lower(), value.strip(" \t")
        if name in ("content-length", "transfer-encoding") and name in headers:
            raise AgentError("BadHttp", f"the header {name} is given twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body_bytes(headers: dict[str, str], limit_bytes: int) -> int | None:
    encoding = headers.get("transfer-encoding")
    if encoding is not None:
        # Both together is how requests are smuggled past a proxy (RFC 9112, 6.3).
        if encoding.lower() != "chunked" or "content-length" in headers:
            raise AgentError("BadHttp", "the only transfer encoding taken is chunked, without a content-length")
        return None
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise AgentError("BadHttp", f"the content-length {length[:40]!r} is not a number")
    if len(length) > 15 or int(length) > limit_bytes:
        raise _body_too_large(limit_bytes)
    return int(length)


def _body_too_large(limit_bytes: int) -> AgentError:
    return AgentError("BodyTooLarge", f"the request's body is larger than {limit_bytes} bytes")
