"""Makes the process the claim's: environment, time zone, working directory, import path, arguments."""

from __future__ import annotations

import locale
import os
import sys
import time
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import Collection, NamedTuple

from ..held.contents import VENDORED_FOLDERS

# What the interpreter's own path hook looks for in a folder; asking the hooks would try it as a zip file first.
_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
_LOCALE_NAMES = ("LC_ALL", "LC_CTYPE", "LANG")


class Identity(NamedTuple):
    env: dict[str, str]
    code_path: str
    main_file: str


def bind(identity: Identity, kept_modules: Collection[str]) -> None:
    names = os.listdir(identity.code_path)
    replace_env(identity.env)
    os.chdir(identity.code_path)
    # Like site-packages they come after the standard library.
    found = [name for name in VENDORED_FOLDERS if name.partition(os.sep)[0] in names]
    vendored = [os.path.join(identity.code_path, name) for name in found]
    sys.path[:] = import_path(sys.path, identity.code_path, identity.env.get("PYTHONPATH", ""), vendored)
    sys.path_importer_cache[identity.code_path] = FileFinder(identity.code_path, *_LOADERS)
    sys.argv[:] = [identity.main_file]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [sys.executable, identity.main_file]
    yield_names_to_code(identity.code_path, names, kept_modules)


def replace_env(env: dict[str, str]) -> None:
    """Only what differs is touched: each step is a tenth of a millisecond of somebody's load."""
    before = dict(os.environ)
    for name in before.keys() - env.keys():
        del os.environ[name]
    for name, value in env.items():
        if before.get(name) != value:
            os.environ[name] = value
    if before.get("TZ") != env.get("TZ"):
        time.tzset()
    if any(before.get(name) != env.get(name) for name in _LOCALE_NAMES):
        try:
            locale.setlocale(locale.LC_CTYPE, "")
        except locale.Error:
            # As an interpreter that starts with an unknown locale does.
            pass


def import_path(standing: list[str], code_path: str, python_path: str, vendored: list[str]) -> list[str]:
    packages_at = next(
        (at for at, folder in enumerate(standing) if folder.endswith(("site-packages", "dist-packages"))), len(standing)
    )
    return [
        code_path,
        *(folder for folder in python_path.split(os.pathsep) if folder),
        *standing[:packages_at],
        *(folder for folder in vendored if os.path.isdir(folder)),
        *standing[packages_at:],
    ]


def yield_names_to_code(code_path: str, names: list[str], kept_modules: Collection[str]) -> None:
    """
    A `queue.py` in the code hides the standard one, as it does when an interpreter starts on that folder: a
    pre-imported module of that name is forgotten. What every interpreter holds from its start stays.
    """
    hidden = set()
    for name in names:
        stem, dot, ending = name.partition(".")
        if stem not in sys.modules or stem in kept_modules:
            continue
        is_file = dot and ending.endswith(("py", "so"))
        if is_file or os.path.exists(os.path.join(code_path, name, "__init__.py")):
            hidden.add(stem)
    if hidden:
        for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
            del sys.modules[name]
