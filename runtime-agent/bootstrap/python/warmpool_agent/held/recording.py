"""
What goes on while the pool's packages are imported: who imports whom and in vain, which variables are read, which code is
made. An import by the function would have to go the same way for its module to be the same.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Iterator


def top_of(name: str) -> str:
    return name.partition(".")[0]


def _listed_standard() -> set[str]:
    """Python 3.9 and older do not tell."""
    folder = os.path.dirname(os.__file__)
    names = set(sys.builtin_module_names)
    for place in (folder, os.path.join(folder, "lib-dynload")):
        if os.path.isdir(place):
            names.update(map(top_of, os.listdir(place)))
    return names


_STANDARD = frozenset(getattr(sys, "stdlib_module_names", None) or _listed_standard())


def is_standard(name: str) -> bool:
    return name in _STANDARD


class Recording:
    def __init__(self) -> None:
        # Pairs of top-level names: importer and what it imported, or looked for in vain.
        self.edges: set[tuple[str, str]] = set()
        self.absent: set[tuple[str, str]] = set()
        # By top-level name: variables that it read, with the values of the container.
        self.env: dict[str, dict[str, str | None]] = {}
        self.codes: dict[str, CodeType] = {}
        self.new_modules: dict[str, ModuleType] = {}
        self.new_finders: list[Any] = []
        # Functions and classes of the standard library that were replaced, as `module.name`.
        self.replaced: list[str] = []

    def __enter__(self) -> "Recording":
        self._import = builtins.__import__
        self._finders, self._path, self._modules = list(sys.meta_path), list(sys.path), set(sys.modules)
        self._standard = dict(_standard_callables())
        self._env_data = os.environ._data  # type: ignore[attr-defined]

        def recorded_import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
            if level == 0 and globals is not None:
                self.edges.add((top_of(globals.get("__name__") or ""), top_of(name)))
            return self._import(name, globals, locals, fromlist, level)

        def recorded_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
            code = super(SourceFileLoader, loader).get_code(fullname)
            if code is not None:
                self.codes[loader.path] = code
            return code

        builtins.__import__ = recorded_import
        SourceFileLoader.get_code = recorded_code  # type: ignore[method-assign]
        sys.meta_path.append(_LastFinder(self.absent))
        os.environ._data = _ReadVariables(self._env_data, self.env)  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_exception: object) -> None:
        # What was changed meanwhile by an import itself is kept.
        changed = dict(os.environ._data)  # type: ignore[attr-defined]
        self._env_data.clear()
        self._env_data.update(changed)
        os.environ._data = self._env_data  # type: ignore[attr-defined]
        builtins.__import__ = self._import
        del SourceFileLoader.get_code
        new = [finder for finder in sys.meta_path if finder not in self._finders]
        self.new_finders = [finder for finder in new if not isinstance(finder, _LastFinder)]
        sys.meta_path[:], sys.path[:] = self._finders, self._path
        self.new_modules = {name: module for name, module in sys.modules.items() if name not in self._modules}
        now = dict(_standard_callables())
        self.replaced = [name for name, value in self._standard.items() if now.get(name, value) is not value]


class _LastFinder:
    """Asked after all others: what it is asked for is not there."""

    def __init__(self, absent: set[tuple[str, str]]):
        self._absent = absent

    def find_spec(self, name: str, path: object, _target: object = None) -> None:
        importer = _foreign_caller()
        if path is None and importer is not None:
            self._absent.add((importer, name))


class _ReadVariables(dict):
    def __init__(self, data: dict[Any, Any], read: dict[str, dict[str, str | None]]):
        super().__init__(data)
        self._read = read

    def _note(self, key: Any) -> None:
        reader = _foreign_caller()
        if reader is not None:
            value = super().get(key)
            text = value if value is None else os.fsdecode(value)
            self._read.setdefault(reader, {}).setdefault(os.fsdecode(key), text)

    def __getitem__(self, key: Any) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._note(key)
        return super().__contains__(key)


def _foreign_caller() -> str | None:
    """The package whose module is being executed; None within the standard library's own."""
    frame = sys._getframe(2)
    while frame is not None:
        name = top_of(frame.f_globals.get("__name__") or "")
        if name and not is_standard(name) and name != top_of(__name__):
            return name
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _standard_callables() -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or not is_standard(top_of(name)):
            continue
        for attribute, value in list(vars(module).items()):
            if isinstance(value, (FunctionType, BuiltinFunctionType, type)):
                yield f"{name}.{attribute}", value
