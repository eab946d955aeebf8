"""Between bytes on the wire and Python values: the event of a request, the result of a handler."""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, NamedTuple

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The agent frames the answer itself.
_HEADERS_OF_THE_AGENT = ("content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer")
MAX_RESULT_BYTES = 32 * 1024 * 1024

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"
BYTES_TYPE = "application/octet-stream"


class EventIsBroken(Exception):
    pass


class ResultIsUnsendable(Exception):
    pass


class Result(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def read_event(content_type: str, body: bytes) -> Any:
    if not body:
        return {}
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type == JSON_TYPE or media_type.endswith("+json"):
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise EventIsBroken(f"the body is not JSON: {error}") from None
    if media_type.startswith("text/"):
        charset = re.search(r"charset\s*=\s*\"?([\w.:-]+)", parameters, re.IGNORECASE)
        try:
            return body.decode(charset[1] if charset else "utf-8", "replace")
        except LookupError:
            return body.decode("utf-8", "replace")
    return body


def write_result(value: Any) -> Result:
    if is_full_result(value):
        result = _full_result(value)
    elif value is None:
        result = Result(204, [], b"")
    else:
        content_type, body = _body_of(value)
        result = Result(200, [("Content-Type", content_type)], body)
    check_size(len(result.body))
    return result


def check_size(size_bytes: int) -> None:
    if size_bytes > MAX_RESULT_BYTES:
        raise ResultIsUnsendable(f"the result is {size_bytes} bytes, more than the {MAX_RESULT_BYTES} that can be sent")


def is_full_result(value: Any) -> bool:
    status = value.get("statusCode") if isinstance(value, dict) else None
    return isinstance(status, int) and not isinstance(status, bool)


def _full_result(value: dict) -> Result:
    status = int(value["statusCode"])
    if not 200 <= status <= 599:
        raise ResultIsUnsendable(f"the handler's statusCode must be from 200 to 599, it is {status}")
    headers = _headers_of(value.get("headers"))
    if value.get("body") is None:
        return Result(status, headers, b"")
    content_type, body = _body_of(value["body"])
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", content_type))
    return Result(status, headers, body)


def _headers_of(given: Any) -> list[tuple[str, str]]:
    if given is None:
        return []
    if not isinstance(given, dict):
        raise ResultIsUnsendable(f"the handler's headers must be a dict, they are of type {type(given).__name__}")
    headers = []
    for name, values in given.items():
        for value in values if isinstance(values, (list, tuple)) else (values,):
            headers.append((name, str(value)))
    return sendable_headers(headers)


def sendable_headers(given: Iterable[tuple[Any, str]]) -> list[tuple[str, str]]:
    headers = []
    for name, value in given:
        if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
            raise ResultIsUnsendable(f"the header name {name!r} is not one of HTTP")
        if name.lower() in _HEADERS_OF_THE_AGENT:
            continue
        if any(character in "\r\n\0" for character in value):
            raise ResultIsUnsendable(f'the header "{name}" holds a line break or a NUL character')
        headers.append((name, value))
    return headers


def _body_of(value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return TEXT_TYPE, value.encode("utf-8", "replace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return BYTES_TYPE, bytes(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return JSON_TYPE, text.encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultIsUnsendable(f"the handler's result cannot be sent as JSON: {error}") from None
