"""
What a package consists of, as a digest of its files. Bytecode in `__pycache__` is left out: it is made from what is counted.

`python3 contents.py FOLDER` writes the digests of a function's packages beside them (`.warmpool-packages.json`), where code is
packed or fetched: counting twenty megabytes would take longer than importing them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from typing import Iterator, NamedTuple

MANIFEST_NAME = ".warmpool-packages.json"
_SITE_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
# Where a function's packages may lie beside its code, in the layouts that are common: by hand, by `pip --target`, in a
# virtual environment.
VENDORED_FOLDERS = (
    "vendor",
    "python",
    "site-packages",
    *(os.path.join(folder, _SITE_PACKAGES) for folder in (".venv", "venv", "python", "")),
)


class Limit(NamedTuple):
    files: int
    bytes: int


def location_of(spec: ModuleSpec | None) -> str | None:
    """A package's folder or a module's file; None for what has none (built in, a namespace without an `__init__`)."""
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    # Not by the search locations: a module like `six` gives itself some and is one file still.
    folder, file = os.path.split(spec.origin)
    return folder if file.partition(".")[0] == "__init__" else spec.origin


def digest_of(location: str, limit: Limit | None = None) -> str | None:
    """None beyond the limit, or when the files cannot be read."""
    total = hashlib.sha256()
    files = size_bytes = 0
    try:
        for name, path in _files_of(location):
            with open(path, "rb") as file:
                content = file.read()
            files += 1
            size_bytes += len(content)
            if limit is not None and (files > limit.files or size_bytes > limit.bytes):
                return None
            total.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
            total.update(content)
    except OSError:
        return None
    return f"sha256:{total.hexdigest()}"


def _files_of(location: str) -> Iterator[tuple[str, str]]:
    if not os.path.isdir(location):
        yield os.path.basename(location), location
        return
    for folder, folders, names in os.walk(location):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, location), path


def read_manifest(folder: str) -> dict[str, str]:
    """Digests by location."""
    try:
        with open(os.path.join(folder, MANIFEST_NAME), encoding="utf-8") as file:
            packages = json.load(file)["packages"]
        return {os.path.normpath(os.path.join(folder, name)): str(digest) for name, digest in packages.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Without one, or with a broken one, nothing is known: each package is counted, or loaded as its own.
        return {}


def write_manifest(folder: str) -> None:
    packages = {}
    for place in (".", *VENDORED_FOLDERS):
        for name in sorted(_entries(os.path.join(folder, place))):
            location = os.path.normpath(os.path.join(place, name))
            digest = digest_of(os.path.join(folder, location))
            if digest is not None:
                packages[location] = digest
    with open(os.path.join(folder, MANIFEST_NAME), "w", encoding="utf-8") as file:
        json.dump({"packages": packages}, file, indent=1)


def _entries(folder: str) -> Iterator[str]:
    if not os.path.isdir(folder):
        return
    for entry in os.scandir(folder):
        is_package = entry.is_dir() and os.path.exists(os.path.join(entry.path, "__init__.py"))
        if is_package or entry.name.endswith((".py", *EXTENSION_SUFFIXES)):
            yield entry.name


if __name__ == "__main__":
    write_manifest(sys.argv[1])
