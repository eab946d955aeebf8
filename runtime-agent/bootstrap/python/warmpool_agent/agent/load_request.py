"""The body of a load, checked by the rules of `loadRequestSchema`: every wrong field is named, not the first only."""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_LABEL_MESSAGE = 'must be 1 to 63 lower-case letters, digits or "-", starting and ending with a letter or digit'
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,252}")
_FUNCTION_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_RUNTIME_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RUNTIME_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,31}")
_HANDLER = re.compile(r"(?=.{1,256}\Z)[A-Za-z0-9_@][A-Za-z0-9_./@-]*(:[A-Za-z_][A-Za-z0-9_.]*)?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
MAX_SAFE_INTEGER = 2**53 - 1

MAX_ENV_NAMES = 1000
MAX_ENV_CHARACTERS = 256 * 1024
MAX_ENV_VALUE_CHARACTERS = 32 * 1024
MAX_SERVICE_ENTRIES = 64
MAX_SERVICE_VALUE_CHARACTERS = 1024
MAX_CODE_PATH_CHARACTERS = 4096
MAX_CONCURRENCY = 1000

Problem = dict  # {"field": str, "message": str}


class LoadRequest(NamedTuple):
    claim_id: str
    fence: int
    function: dict[str, str]
    runtime: dict[str, str]
    kind: str
    handler: str
    code_path: str
    digest: str
    env: dict[str, str]
    service: dict[str, str]
    request_timeout_ms: int
    init_timeout_ms: int

    @property
    def form(self) -> str:
        """`handler`, `app` (an object like `app:app`, which the agent serves) or `main` (a program with its own server)."""
        if self.kind == "handler":
            return "handler"
        return "app" if ":" in self.handler else "main"


def check_load_request(body: Any) -> tuple[LoadRequest | None, list[Problem]]:
    checker = _Checker()
    checker.fields(body, "", _LOAD_FIELDS)
    if checker.problems:
        return None, checker.problems
    request = LoadRequest(
        claim_id=body["claimId"],
        fence=int(body["fence"]),
        function=body["function"],
        runtime=body["runtime"],
        kind=body["kind"],
        handler=body["handler"],
        code_path=body["code"]["path"],
        digest=body["code"]["digest"],
        env=body["env"],
        service=body["service"],
        request_timeout_ms=int(body["limits"]["requestTimeoutMs"]),
        init_timeout_ms=int(body["limits"]["initTimeoutMs"]),
    )
    return request, []


Check = Callable[["_Checker", Any, str], None]


class _Checker:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, field: str, message: str) -> None:
        self.problems.append({"field": field or "(body)", "message": message})

    def fields(self, value: Any, path: str, checks: dict[str, Check]) -> None:
        if not isinstance(value, dict):
            return self.refuse(path, "must be an object")
        for name, check in checks.items():
            field = f"{path}.{name}" if path else name
            if name in value:
                check(self, value[name], field)
            elif name not in _OPTIONAL:
                self.refuse(field, "is required")
        for name in value:
            if name not in checks:
                self.refuse(f"{path}.{name}" if path else name, "is not a known field")


def _text(pattern: re.Pattern[str], message: str) -> Check:
    def check(checker: _Checker, value: Any, field: str) -> None:
        if not isinstance(value, str):
            checker.refuse(field, "must be a string")
        elif pattern.fullmatch(value) is None:
            checker.refuse(field, message)

    return check


def _integer(minimum: int, maximum: int = MAX_SAFE_INTEGER) -> Check:
    def check(checker: _Checker, value: Any, field: str) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or value != value or abs(value) > MAX_SAFE_INTEGER or value != int(value):
            checker.refuse(field, "must be a whole number")
        elif value < minimum:
            checker.refuse(field, f"must be {minimum} or more")
        elif value > maximum:
            checker.refuse(field, f"must be {maximum} or less")

    return check


def _object(checks: dict[str, Check]) -> Check:
    return lambda checker, value, field: checker.fields(value, field, checks)


def _check_kind(checker: _Checker, value: Any, field: str) -> None:
    if value not in ("handler", "http"):
        checker.refuse(field, 'must be "handler" or "http"')


def _check_handler(checker: _Checker, value: Any, field: str) -> None:
    _HANDLER_TEXT(checker, value, field)
    if isinstance(value, str) and ".." in value.split("/"):
        checker.refuse(field, 'must not contain ".."')


def _check_code_path(checker: _Checker, value: Any, field: str) -> None:
    if not isinstance(value, str):
        checker.refuse(field, "must be a string")
    elif not 1 <= len(value) <= MAX_CODE_PATH_CHARACTERS or "\0" in value:
        checker.refuse(field, f"must be a path of 1 to {MAX_CODE_PATH_CHARACTERS} characters")


def _check_env(checker: _Checker, value: Any, field: str) -> None:
    if not isinstance(value, dict):
        return checker.refuse(field, "must be an object")
    characters = 0
    for name, text in value.items():
        if _ENV_NAME.fullmatch(name) is None:
            checker.refuse(
                f"{field}.{name}", 'this name must be a name of letters, digits and "_", not starting with a digit'
            )
        if not isinstance(text, str):
            checker.refuse(f"{field}.{name}", "must be a string")
            continue
        characters += len(name) + len(text)
        if len(text) > MAX_ENV_VALUE_CHARACTERS:
            checker.refuse(f"{field}.{name}", f"must not be longer than {MAX_ENV_VALUE_CHARACTERS} characters")
        if "\0" in text:
            checker.refuse(f"{field}.{name}", "must not contain a NUL character")
    if len(value) > MAX_ENV_NAMES:
        checker.refuse(field, f"must not hold more than {MAX_ENV_NAMES} variables")
    if characters > MAX_ENV_CHARACTERS:
        checker.refuse(field, f"must not be larger than {MAX_ENV_CHARACTERS} characters in all")


def _check_service(checker: _Checker, value: Any, field: str) -> None:
    if not isinstance(value, dict):
        return checker.refuse(field, "must be an object")
    for name, text in value.items():
        if _SERVICE_NAME.fullmatch(name) is None:
            checker.refuse(f"{field}.{name}", 'this name must be 1 to 128 letters, digits, ".", "_", "/" or "-"')
        if not isinstance(text, str):
            checker.refuse(f"{field}.{name}", "must be a string")
        elif len(text) > MAX_SERVICE_VALUE_CHARACTERS:
            checker.refuse(f"{field}.{name}", f"must not be longer than {MAX_SERVICE_VALUE_CHARACTERS} characters")
    if len(value) > MAX_SERVICE_ENTRIES:
        checker.refuse(field, f"must not hold more than {MAX_SERVICE_ENTRIES} entries")


_HANDLER_TEXT = _text(_HANDLER, 'must be a relative path inside the code, for example "index.handler", "server.py" or "app:app"')
_LOAD_FIELDS: dict[str, Check] = {
    "claimId": _text(_DNS_LABEL, _DNS_LABEL_MESSAGE),
    "fence": _integer(0),
    "function": _object(
        {
            "name": _text(
                _FUNCTION_NAME,
                'must be 1 to 253 letters, digits, ".", "_", "/" and "-", starting with a letter or digit',
            ),
            "version": _text(
                _FUNCTION_VERSION,
                'must be 1 to 128 letters, digits, ".", "_", "+" and "-", starting with a letter or digit',
            ),
            "tenant": _text(_DNS_LABEL, _DNS_LABEL_MESSAGE),
        }
    ),
    "runtime": _object(
        {
            "name": _text(
                _RUNTIME_NAME, 'must be 1 to 32 lower-case letters, digits or "-", starting with a letter'
            ),
            "version": _text(_RUNTIME_VERSION, 'must be 1 to 32 letters, digits, ".", "_" or "-"'),
        }
    ),
    "kind": _check_kind,
    "handler": _check_handler,
    "code": _object(
        {
            "path": _check_code_path,
            "digest": _text(_DIGEST, 'must be "sha256:" followed by 64 lower-case hex digits'),
        }
    ),
    "env": _check_env,
    "service": _check_service,
    "limits": _object(
        {"requestTimeoutMs": _integer(1), "initTimeoutMs": _integer(1), "concurrency": _integer(1, MAX_CONCURRENCY)}
    ),
}
_OPTIONAL = ("concurrency",)
