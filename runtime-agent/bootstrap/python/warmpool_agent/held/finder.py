"""Gives an import the module in memory when the function's own has the same content, and its own otherwise."""

from __future__ import annotations

import _imp
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Sequence

from .contents import Limit, digest_of, location_of, read_manifest
from .packages import HeldPackage

# What is counted at load for code that came without a list of its packages: a few milliseconds at most.
COUNTED_AT_LOAD = Limit(files=200, bytes=4 * 1024 * 1024)


class HeldFinder:
    def __init__(self, held: dict[str, HeldPackage], code_path: str):
        self._held = held
        self._code_path = code_path
        self._manifest: dict[str, str] | None = None
        # None: it is not the one in memory.
        self._matching: dict[str, str | None] = {}
        self._given: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        # Who imports it a second time, after a `del sys.modules[...]` or to reload it, wants a new one.
        if path is not None or name not in self._held or name in self._given:
            return None
        package = self._held[name]
        locations = {need: self._matching_location(self._held[need]) for need in package.needs}
        if not all(locations.values()):
            return None
        for need, location in locations.items():
            assert location is not None
            self._show(self._held[need], location)
        # Its own name is left to the import that is under way.
        module = sys.modules.pop(name)
        return _spec_that_gives(module)

    def brings_other_extensions(self) -> bool:
        """The function has a package of its own whose compiled parts are in memory from another file already."""
        return any(
            package.has_extension and _find(name) is not None and self._matching_location(package) is None
            for name, package in self._held.items()
        )

    def _matching_location(self, package: HeldPackage) -> str | None:
        name = package.name
        if name in self._given:
            # The code may have put another one in its place.
            return self._matching[name] if sys.modules.get(name) is package.modules[name] else None
        if name in sys.modules:
            return None
        if name not in self._matching:
            location = location_of(_find(name)) if _has_surroundings(package) else None
            is_same = location is not None and (location == package.location or self._has_content(location, package))
            self._matching[name] = location if is_same else None
        return self._matching[name]

    def _has_content(self, location: str, package: HeldPackage) -> bool:
        if self._manifest is None:
            self._manifest = read_manifest(self._code_path)
        known = self._manifest.get(location)
        if known is None:
            return digest_of(location, COUNTED_AT_LOAD) == package.digest
        # A list that is older than the files shows in their sizes; to read them all would cost what is to be saved.
        return known == package.digest and all(
            _size_of(_moved(file, package.location, location)) == size for file, size in package.file_sizes.items()
        )

    def _show(self, package: HeldPackage, location: str) -> None:
        if package.name in self._given:
            return
        self._given.add(package.name)
        if location != package.location:
            for module in package.modules.values():
                _move(module, package, location)
        sys.modules.update(package.modules)
        sys.meta_path.extend(package.finders)


class _Giver:
    """A loader with nothing left to do but to be replaced by the real one."""

    def __init__(self, module: ModuleType, spec: ModuleSpec):
        self._module = module
        self._spec = spec

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def _spec_that_gives(module: ModuleType) -> ModuleSpec:
    spec = module.__spec__
    assert spec is not None
    given = ModuleSpec(spec.name, _Giver(module, spec), origin=spec.origin)  # type: ignore[arg-type]
    given.submodule_search_locations = spec.submodule_search_locations
    return given


def _has_surroundings(package: HeldPackage) -> bool:
    return (
        all(sys.modules.get(name) is module for name, module in package.standard.items())
        and all(os.environ.get(name) == value for name, value in package.env.items())
        and all(_find(name) is None for name in package.absent)
    )


def _move(module: ModuleType, package: HeldPackage, location: str) -> None:
    """Makes a module say that it came from the function's folder, where its data and its lazy parts will be looked for."""
    file = getattr(module, "__file__", None)
    if file is None or not (file == package.location or file.startswith(package.location + os.sep)):
        return
    moved = _moved(file, package.location, location)
    code = package.codes.get(file)
    if code is not None:
        # As the interpreter does with bytecode that was compiled elsewhere: tracebacks name the function's file.
        _imp._fix_co_filename(code, moved)
    module.__file__ = moved
    for holder, name in ((module, "__cached__"), (module.__spec__, "origin"), (module.__spec__, "cached"), (module.__loader__, "path")):
        value = getattr(holder, name, None)
        if isinstance(value, str):
            setattr(holder, name, _moved(value, package.location, location))
    folders = module.__dict__.get("__path__")
    if isinstance(folders, list):
        folders[:] = [_moved(folder, package.location, location) for folder in folders]


def _moved(path: str, from_location: str, to_location: str) -> str:
    if path == from_location or path.startswith(from_location + os.sep):
        return to_location + path[len(from_location) :]
    # The bytecode of a module that is one file.
    from_folder = os.path.dirname(from_location) + os.sep
    return os.path.join(os.path.dirname(to_location), path[len(from_folder) :]) if path.startswith(from_folder) else path


def _find(name: str) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name)
    except ImportError:
        return None


def _size_of(file: str) -> int | None:
    try:
        return os.stat(file).st_size
    except OSError:
        return None
