"""Handlers that answer piece by piece: an iterator of strings or bytes, plain or async, as the result or as its body."""

from __future__ import annotations

from typing import Any, Callable, Generator, NamedTuple

from .payload import BYTES_TYPE, Result, ResultIsUnsendable, is_full_result, write_result


class Stream(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    pieces: Generator[bytes, None, None]


def read_answer(value: Any, run: Callable[[Any], Any]) -> Result | Stream:
    """`run` waits for an awaitable."""
    if _is_iterator(value):
        return Stream(200, [("Content-Type", BYTES_TYPE)], _pieces_of(value, run))
    if not is_full_result(value) or not _is_iterator(value.get("body")):
        return write_result(value)
    status, headers, _ = write_result({**value, "body": None})
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", BYTES_TYPE))
    return Stream(status, headers, _pieces_of(value["body"], run))


def _is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__") or hasattr(type(value), "__anext__")


def _pieces_of(source: Any, run: Callable[[Any], Any]) -> Generator[bytes, None, None]:
    is_async = hasattr(type(source), "__anext__")
    try:
        while True:
            try:
                piece = run(source.__anext__()) if is_async else next(source)
            except (StopIteration, StopAsyncIteration):
                return
            yield _bytes_of(piece)
    finally:
        if is_async and hasattr(source, "aclose"):
            run(source.aclose())
        elif hasattr(source, "close"):
            source.close()


def _bytes_of(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode("utf-8", "replace")
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise ResultIsUnsendable(f"a piece of a stream must be a string or bytes, it is of type {type(piece).__name__}")
