"""What is imported before the fork, so that user code finds it in memory: 2.7 ms of a load become 0 (decision 0004)."""

from __future__ import annotations

import importlib
import threading
from typing import Collection

from .held.packages import HeldPackage, take_out_of_sight
from .held.recording import Recording

# Parts of the standard library that functions and popular packages import.
STANDARD_MODULES = (
    "abc", "asyncio", "base64", "binascii", "bisect", "calendar", "collections.abc", "concurrent.futures.thread",
    "contextlib", "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "email.message",
    "email.parser", "enum", "fnmatch", "functools", "glob", "gzip", "hashlib", "heapq", "hmac", "http.client",
    "http.cookies", "importlib.util", "inspect", "io", "ipaddress", "itertools", "json", "locale", "logging", "math",
    "mimetypes", "numbers", "operator", "os", "pathlib", "pickle", "platform", "queue", "random", "re", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "ssl", "stat", "string", "struct", "subprocess", "tempfile",
    "textwrap", "threading", "time", "traceback", "types", "typing", "unicodedata", "urllib.error", "urllib.parse",
    "urllib.request", "uuid", "warnings", "weakref", "zipfile", "zlib",
)  # fmt: skip


class PreImportError(Exception):
    pass


def import_standard_modules() -> None:
    for name in STANDARD_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # A slim build of Python may lack a part (ssl): then a function that needs it will be told so.
            pass


def import_pool_modules(names: Collection[str]) -> dict[str, HeldPackage]:
    """Packages among them are held out of sight; modules of the standard library are simply there."""
    with Recording() as recording:
        for name in names:
            _import_for_pool(name)
    if recording.replaced:
        raise PreImportError(
            f"WARMPOOL_PRE_IMPORT ({', '.join(names)}) replaces {', '.join(recording.replaced[:5])} of the standard library "
            "when it is imported: every function would get that, so it must be left to the function"
        )
    return take_out_of_sight(recording)


def _import_for_pool(name: str) -> None:
    try:
        importlib.import_module(name)
    except BaseException as error:
        raise PreImportError(
            f'the module "{name}" of WARMPOOL_PRE_IMPORT cannot be imported: {type(error).__name__}: {error}'
        ) from None
    if threading.active_count() > 1:
        raise PreImportError(
            f'the module "{name}" of WARMPOOL_PRE_IMPORT starts a thread when it is imported: '
            "threads do not survive the fork, so it must be left to the function"
        )
