"""Messages between agent and child: a JSON head and a body of bytes, each with its length in front."""

from __future__ import annotations

import json
import struct
from typing import Any, Iterator, NamedTuple

_LENGTHS = struct.Struct("!II")


class Frame(NamedTuple):
    head: dict[str, Any]
    body: bytes


def encode_frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    return b"".join((_LENGTHS.pack(len(text), len(body)), text, body))


class FrameDecoder:
    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._buffer += data
        while len(self._buffer) >= _LENGTHS.size:
            head_bytes, body_bytes = _LENGTHS.unpack_from(self._buffer)
            body_at = _LENGTHS.size + head_bytes
            end = body_at + body_bytes
            if len(self._buffer) < end:
                return
            head = json.loads(self._buffer[_LENGTHS.size : body_at])
            body = bytes(self._buffer[body_at:end])
            del self._buffer[:end]
            yield Frame(head, body)
