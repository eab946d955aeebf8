"""Finds and runs the user's module: imported for its function or app object, or run as the main program of an app."""

from __future__ import annotations

import importlib
import io
import os
import sys
import threading
from types import ModuleType
from typing import Any, Callable

from .user_errors import UserCodeFailed, describe_error

MAX_NAMES_LISTED = 20


def import_handler(handler: str, code_path: str) -> Callable[..., Any]:
    module_path, _, export = handler.rpartition(".")
    if not module_path:
        raise UserCodeFailed(
            "HandlerNotFound", "handler", f'the handler "{handler}" names no function: it must be <module>.<function>'
        )
    return _find_callable(_import_module(handler, module_path, code_path), export, handler, "function")


def import_app(handler: str, code_path: str) -> Callable[..., Any]:
    """`app:app`, or `shop.main:api.app` with attributes of attributes."""
    module_path, _, names = handler.partition(":")
    found: Any = _import_module(handler, module_path.removesuffix(".py"), code_path)
    *owners, export = names.split(".")
    for owner in owners:
        found = getattr(found, owner, None)
    return _find_callable(found, export, handler, "WSGI or ASGI app")


def _find_callable(owner: Any, export: str, handler: str, wanted: str) -> Callable[..., Any]:
    found = getattr(owner, export, None)
    if callable(found):
        return found
    name = getattr(owner, "__name__", type(owner).__name__)
    if hasattr(owner, export):
        what = f'"{export}" of the module "{name}" is not a {wanted}, it is of type {type(found).__name__}'
    else:
        what = f'the module "{name}" has no "{export}"'
    raise UserCodeFailed(
        "HandlerNotFound",
        "handler",
        f'the handler "{handler}" was not found: {what}; its functions are: {_functions_of(owner)}',
    )


def _import_module(handler: str, module_path: str, code_path: str) -> ModuleType:
    name = module_path.replace("/", ".")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            file = module_path.replace(".", "/")
            raise UserCodeFailed(
                "HandlerNotFound",
                "handler",
                f'the handler "{handler}" was not found: the code has neither {file}.py nor {file}/__init__.py; '
                f"it has: {_modules_in(code_path)}",
            ) from None
        raise _import_failed(error) from None
    except SystemExit as ending:
        raise UserCodeFailed(
            "UserCodeError", "import", f"the module called exit({exit_code_of(ending)})"
        ) from None
    except BaseException as error:
        raise _import_failed(error) from None


def run_as_main(file: str, code_path: str) -> None:
    """Returns when the program has ended, its threads included. A SystemExit is the caller's."""
    path = os.path.join(code_path, file)
    try:
        with io.open_code(path) as source:
            text = source.read()
    except OSError:
        raise UserCodeFailed(
            "HandlerNotFound",
            "handler",
            f'the code has no file "{file}"; its modules are: {_modules_in(code_path)}',
        ) from None
    main = sys.modules["__main__"]
    main.__dict__.update(__file__=path, __builtins__=__builtins__)
    sys.path[0] = os.path.dirname(path)
    if sys.path[0] != code_path:
        sys.path.insert(1, code_path)
    try:
        exec(compile(text, path, "exec", dont_inherit=True), main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        raise _import_failed(error) from None
    current = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not current and not thread.daemon:
            thread.join()


def exit_code_of(ending: SystemExit) -> int:
    if ending.code is None:
        return 0
    return ending.code & 0xFF if isinstance(ending.code, int) else 1


def _import_failed(error: BaseException) -> UserCodeFailed:
    message, stack = describe_error(error)
    return UserCodeFailed("UserCodeError", "import", message, stack)


def _functions_of(owner: Any) -> str:
    values = getattr(owner, "__dict__", {})
    names = [name for name, value in values.items() if callable(value) and not name.startswith("_")]
    return _listed(names)


def _modules_in(code_path: str) -> str:
    return _listed([entry.name for entry in os.scandir(code_path) if entry.name.endswith(".py") or entry.is_dir()])


def _listed(names: list[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - MAX_NAMES_LISTED} more" if len(names) > MAX_NAMES_LISTED else ""
    return (", ".join(names[:MAX_NAMES_LISTED]) or "none") + more
