"""
Messages between agent and child: a head and a body of bytes, each with its length in front. The agent's heads are in
Python's own form, the quickest there is; what the child says is JSON, since user code could write it too.
"""

from __future__ import annotations

import json
import marshal
import struct
from typing import Any, Callable, NamedTuple

# Above 128 KiB the allocator asks the kernel for each buffer anew.
READ_BYTES = 64 * 1024
_LENGTHS = struct.Struct("!II")


class Frame(NamedTuple):
    head: dict[str, Any]
    body: bytes


def encode_for_child(head: dict[str, Any], body: bytes = b"") -> bytes:
    return _join(marshal.dumps(head), body)


def encode_for_agent(head: dict[str, Any], body: bytes = b"") -> bytes:
    return _join(json.dumps(head).encode(), body)


def _join(head: bytes, body: bytes) -> bytes:
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class FrameDecoder:
    def __init__(self, read_head: Callable[[bytes], Any]):
        self._read_head = read_head
        self._buffer = bytearray()
        self._wanted_bytes = 0

    def feed(self, data: bytes) -> list[Frame]:
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted_bytes:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames, at = [], 0
        self._wanted_bytes = _LENGTHS.size
        while len(data) - at >= _LENGTHS.size:
            head_bytes, body_bytes = _LENGTHS.unpack_from(data, at)
            body_at = at + _LENGTHS.size + head_bytes
            end = body_at + body_bytes
            if len(data) < end:
                self._wanted_bytes = end - at
                break
            frames.append(Frame(self._read_head(data[at + _LENGTHS.size : body_at]), data[body_at:end]))
            at = end
        self._buffer += data[at:]
        return frames
