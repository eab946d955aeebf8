"""An app object of PEP 3333 (Flask, Django, Bottle), called once per request."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Callable
from urllib.parse import unquote_to_bytes

from ..frames import Frame
from .context import Context
from .payload import Result, check_size, sendable_headers

class AppIsBroken(Exception):
    """The app does not keep its side of WSGI or ASGI."""


class WsgiApp:
    def __init__(self, app: Callable[..., Any]):
        self._app = app

    def answer(self, frame: Frame, _context: Context) -> Result:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            if started and exc_info is None:
                raise AppIsBroken("the app called start_response twice")
            started[:] = [(status, list(headers))]
            return written.append

        pieces = self._app(_environ(frame), start_response)
        size_bytes = 0
        try:
            for piece in pieces:
                size_bytes += len(piece)
                check_size(size_bytes)
                written.append(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        if not started:
            raise AppIsBroken("the app answered without start_response")
        status, headers = started[0]
        return Result(int(status[:3]), sendable_headers(headers), b"".join(written))

    def close(self) -> None:
        pass


def _environ(frame: Frame) -> dict[str, Any]:
    http = frame.head["http"]
    headers = http["headers"]
    host, _, port = headers.get("host", "").partition(":")
    environ = {
        "REQUEST_METHOD": http["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(http["path"]).decode("latin-1"),
        "QUERY_STRING": http["queryString"],
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port or os.environ.get("PORT", "80"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(frame.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(frame.body),
        # A body that came in chunks has an end too.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        # `X_Forwarded_For` would come out as `X-Forwarded-For` does: a client could forge a proxy's header.
        if "_" not in name and name not in ("content-length", "transfer-encoding"):
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
