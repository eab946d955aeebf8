"""
Prepared code: the bytecode that `prepare.py` made of a tree, in one file beside it (docs/decisions/0017). Code is read-only, so without
it every load would compile every module again. Sources stay where they are; what is not in the file is compiled as ever.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from typing import Any
from zlib import crc32

_external: Any = sys.modules["_frozen_importlib_external"]

PREPARED_FOLDER = "prepared"
PACK_FILE = "modules.pack"
HEAD_BYTES = 8
MAX_INDEX_BYTES = 16 * 1024 * 1024


def prepared_tag() -> str:
    """What bytecode is bound to."""
    return f"python-{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}-{sys.flags.optimize}"


def pack(index: dict[str, tuple[int, int]], codes: list[bytes]) -> bytes:
    text = json.dumps(index).encode()
    head = len(text).to_bytes(4, "little") + crc32(text).to_bytes(4, "little")
    return b"".join([head, text, *codes])


def use_prepared(code_path: str) -> bool:
    """Lets modules below `code_path` come from what was prepared for exactly this interpreter, if there is any."""
    path = os.path.join(os.path.dirname(code_path), PREPARED_FOLDER, prepared_tag(), PACK_FILE)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        head = os.pread(descriptor, HEAD_BYTES, 0)
        size = int.from_bytes(head[:4], "little")
        text = os.pread(descriptor, min(size, MAX_INDEX_BYTES), HEAD_BYTES)
        if len(text) != size or crc32(text) != int.from_bytes(head[4:], "little"):
            raise ValueError("the index is damaged")
        index: dict[str, list[int]] = json.loads(text)
    except (OSError, ValueError):
        os.close(descriptor)
        return False
    _load_from(descriptor, HEAD_BYTES + size, f"{code_path}/", index)
    return True


def _load_from(descriptor: int, start: int, prefix: str, index: dict[str, list[int]]) -> None:
    own = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> Any:
        path: str = self.get_filename(fullname)
        place = index.get(path[len(prefix) :]) if path.startswith(prefix) else None
        if place is None:
            return own(self, fullname)
        at, size = place
        data = os.pread(descriptor, size, start + at)
        if len(data) != size:
            return own(self, fullname)
        return _external._compile_bytecode(data, fullname, None, path)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
