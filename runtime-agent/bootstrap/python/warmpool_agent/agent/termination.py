"""`termination.json` beside the socket: why the process came to an abnormal end, for whoever finds it gone."""

from __future__ import annotations

import json
import os
from typing import Callable


class TerminationNote:
    def __init__(self, socket_path: str, now_unix_ms: Callable[[], float]):
        self._path = os.path.join(os.path.dirname(socket_path), "termination.json")
        self._now_unix_ms = now_unix_ms
        self._is_written = False

    def write(self, reason: str, message: str, request_id: str | None = None) -> None:
        """The first reason is the cause; what follows from it is not written."""
        if self._is_written:
            return
        self._is_written = True
        note = {"reason": reason, "message": message, "atUnixMs": self._now_unix_ms()}
        if request_id is not None:
            note["requestId"] = request_id
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                json.dump(note, file)
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            os.write(2, f"warmpool: cannot write {self._path}: {error}\n".encode())
