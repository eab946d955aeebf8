"""The child's end of the socket pair. It blocks: the child has nothing else to do between calls."""

from __future__ import annotations

import marshal
import socket
from collections import deque

from ..frames import READ_BYTES, Frame, FrameDecoder, encode_for_agent


class Channel:
    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._decoder = FrameDecoder(marshal.loads)
        self._received: deque[Frame] = deque()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, head: dict, body: bytes = b"") -> None:
        self._connection.sendall(encode_for_agent(head, body))

    def receive(self) -> Frame | None:
        """None when the agent has ended the conversation."""
        while not self._received:
            try:
                data = self._connection.recv(READ_BYTES)
            except ConnectionError:
                return None
            if not data:
                return None
            self._received.extend(self._decoder.feed(data))
        return self._received.popleft()
