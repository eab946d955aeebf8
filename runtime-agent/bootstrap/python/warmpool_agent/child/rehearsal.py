"""What a rehearsal must put back, so that the user's module finds the interpreter as if nothing had run in it."""

from __future__ import annotations

import importlib
import linecache
import os
import sys

from .identity import replace_env


class Untouched:
    """The interpreter as it was when this was made."""

    def __init__(self) -> None:
        self._modules = dict(sys.modules)
        self._path = list(sys.path)
        self._finders = list(sys.meta_path)
        self._path_cache = dict(sys.path_importer_cache)
        self._argv = list(sys.argv)
        self._orig_argv = list(getattr(sys, "orig_argv", []))
        self._env = dict(os.environ)
        self._folder = os.getcwd()
        self._lines = set(linecache.cache)

    def restore(self) -> None:
        for name in [name for name in sys.modules if name not in self._modules]:
            del sys.modules[name]
        sys.modules.update(self._modules)
        sys.path[:] = self._path
        sys.meta_path[:] = self._finders
        for folder in [folder for folder in sys.path_importer_cache if folder not in self._path_cache]:
            del sys.path_importer_cache[folder]
        sys.argv[:] = self._argv
        if hasattr(sys, "orig_argv"):
            sys.orig_argv[:] = self._orig_argv
        for file in [file for file in linecache.cache if file not in self._lines]:
            del linecache.cache[file]
        replace_env(self._env)
        os.chdir(self._folder)
        importlib.invalidate_caches()
        # which forgets the folders that are not there
        for folder, finder in self._path_cache.items():
            sys.path_importer_cache.setdefault(folder, finder)
