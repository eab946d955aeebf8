"""Who answers one request, whatever becomes of its connection meanwhile."""

from __future__ import annotations

from typing import Callable, Iterable, Protocol

from ..errors import AgentError

Headers = Iterable["tuple[str, str]"]


class Answering(Protocol):
    """The connection that a request came on."""

    def answer(self, status: int, headers: Headers, body: bytes) -> None: ...
    def begin(self, status: int, headers: Headers) -> None: ...
    def write_piece(self, piece: bytes) -> int: ...
    def end_stream(self) -> None: ...
    def cut(self) -> None: ...


class Responder:
    """Answers one request, once. After the client has gone it answers nobody."""

    __slots__ = ("_connection", "_has_begun", "on_gone", "on_drained")

    def __init__(self, connection: "Answering"):
        self._connection: Answering | None = connection
        self._has_begun = False
        self.on_gone: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        connection, self._connection = self._connection, None
        self.on_gone = None
        if connection is not None:
            connection.answer(status, headers, body)

    def begin(self, status: int, headers: Headers) -> None:
        """The head of an answer that comes piece by piece."""
        self._has_begun = True
        if self._connection is not None:
            self._connection.begin(status, headers)

    def write(self, piece: bytes) -> int:
        """How many bytes wait for the client now."""
        return 0 if self._connection is None else self._connection.write_piece(piece)

    def end(self) -> None:
        connection, self._connection = self._connection, None
        self.on_gone = self.on_drained = None
        if connection is not None:
            connection.end_stream()

    def send_error(self, error: AgentError, headers: Headers = ()) -> None:
        if self._has_begun:
            return self._cut()
        self.send(error.status, [*error.headers(), *headers], error.body())

    def _cut(self) -> None:
        """Half an answer must not look like a whole one."""
        connection, self._connection = self._connection, None
        self.on_gone = self.on_drained = None
        if connection is not None:
            connection.cut()

    def gone(self) -> None:
        self._connection = None
        self.on_drained = None
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()
