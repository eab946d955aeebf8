"""
Packages that the pool named, in memory but out of sight: user code sees one only when it imports a package of its own with
the same content.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from types import CodeType, FunctionType, ModuleType
from typing import Any, Iterator

from .contents import digest_of, location_of, read_manifest
from .recording import Recording, is_standard, top_of


class HeldPackage:
    """One top-level name. `needs` are the held ones that its modules refer to, itself included."""

    def __init__(self, name: str, location: str, digest: str):
        self.name = name
        self.location = location
        self.digest = digest
        self.modules: dict[str, ModuleType] = {}
        self.codes: dict[str, CodeType] = {}
        self.file_sizes: dict[str, int] = {}
        self.finders: list[Any] = []
        self.needs: set[str] = {name}
        # What else has to be as it was: modules of the standard library, names that were not there, variables.
        self.standard: dict[str, ModuleType] = {}
        self.absent: set[str] = set()
        self.env: dict[str, str | None] = {}

    @property
    def has_extension(self) -> bool:
        return any(file.endswith(tuple(EXTENSION_SUFFIXES)) for file in self.file_sizes)


def take_out_of_sight(recording: Recording) -> dict[str, HeldPackage]:
    """What the standard library brought stays; the rest leaves `sys.modules`, and is held if its content can be told."""
    foreign = {name: module for name, module in recording.new_modules.items() if not is_standard(top_of(name))}
    for name in foreign:
        del sys.modules[name]
    tops = {top_of(name) for name in foreign}
    held: dict[str, HeldPackage] = {}
    for name in tops:
        location = location_of(getattr(foreign.get(name), "__spec__", None))
        digest = None if location is None else _known_or_counted(location)
        if location is not None and digest is not None:
            held[name] = HeldPackage(name, location, digest)
    for name, module in foreign.items():
        package = held.get(top_of(name))
        if package is not None:
            package.modules[name] = module
            _remember_file(package, module, recording.codes)
    for finder in recording.new_finders:
        owner = held.get(top_of(type(finder).__module__))
        if owner is not None:
            owner.finders.append(finder)
    edges = recording.edges | set(_references(held))
    for package in held.values():
        _note_surroundings(package, recording, edges)
        _close(package, edges, tops)
    # One that needs what cannot be held cannot be held itself.
    return {name: package for name, package in held.items() if package.needs <= held.keys()}


def _note_surroundings(package: HeldPackage, recording: Recording, edges: set[tuple[str, str]]) -> None:
    imported = {name for importer, name in edges if importer == package.name}
    package.standard = {name: sys.modules[name] for name in imported if is_standard(name) and name in sys.modules}
    package.absent = {name for importer, name in recording.absent if importer == package.name and name not in sys.modules}
    package.env = recording.env.get(package.name, {})


def _known_or_counted(location: str) -> str | None:
    return read_manifest(os.path.dirname(location)).get(location) or digest_of(location)


def _remember_file(package: HeldPackage, module: ModuleType, codes: dict[str, CodeType]) -> None:
    file = getattr(module, "__file__", None)
    if file is None or not _is_within(file, package.location):
        return
    package.file_sizes[file] = os.stat(file).st_size
    if file in codes:
        package.codes[file] = codes[file]


def _references(held: dict[str, HeldPackage]) -> Iterator[tuple[str, str]]:
    """What an import by other ways than the statement left behind."""
    for package in held.values():
        for module in package.modules.values():
            for value in list(getattr(module, "__dict__", {}).values()):
                # Others may be lazy: to ask them for an attribute would wake them up.
                if isinstance(value, (ModuleType, FunctionType, type)):
                    is_module = isinstance(value, ModuleType)
                    name = value.__dict__.get("__name__") if is_module else value.__module__
                    if isinstance(name, str):
                        yield package.name, top_of(name)


def _close(package: HeldPackage, edges: set[tuple[str, str]], tops: set[str]) -> None:
    waiting = [package.name]
    while waiting:
        name = waiting.pop()
        for importer, imported in edges:
            if importer == name and imported in tops and imported not in package.needs:
                package.needs.add(imported)
                waiting.append(imported)


def _is_within(file: str, location: str) -> bool:
    return file == location or file.startswith(location + os.sep)
