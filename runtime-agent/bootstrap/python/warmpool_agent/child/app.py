"""Which of the two kinds of app an object is."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Union

from .asgi import AsgiApp
from .user_errors import UserCodeFailed, describe_error
from .wsgi import WsgiApp


AppObject = Union[AsgiApp, WsgiApp]


def start_app(found: Callable[..., Any]) -> AppObject:
    try:
        return AsgiApp(found) if _is_asynchronous(found) else WsgiApp(found)
    except UserCodeFailed:
        raise
    except BaseException as error:
        message, stack = describe_error(error)
        raise UserCodeFailed("UserCodeError", "import", message, stack) from None


def _is_asynchronous(found: Any) -> bool:
    while isinstance(found, functools.partial):
        found = found.func
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(type(found), "__call__", None))
