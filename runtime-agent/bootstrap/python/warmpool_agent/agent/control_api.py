"""The routes of the unix socket."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Callable
from urllib.parse import parse_qs

from ..errors import AgentError
from ..http.parser import Request
from ..http.responder import Responder
from .ending import Ending
from .invocations import Invocations
from .lifecycle import CONTRACT_VERSION, Lifecycle
from .loading import Loading
from .log_ring import LogRing
from .status import Status

KIB = 1024
INVOKE_LIMIT_BYTES = 6 * KIB * KIB
_LIMITS_BYTES = {"/v1/load": 2 * KIB * KIB, "/v1/kill": 64 * KIB}
MAX_GRACE_MS = 60_000
MAX_REASON_CHARACTERS = 256
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PROBED_STATES = ("standby", "ready", "busy")


def body_limit_bytes(path: str) -> int:
    return _LIMITS_BYTES.get(path, INVOKE_LIMIT_BYTES)


class ControlApi:
    def __init__(
        self,
        lifecycle: Lifecycle,
        loading: Loading,
        invocations: Invocations,
        status: Status,
        ring: LogRing,
        ending: Ending,
    ):
        self._lifecycle = lifecycle
        self._loading = loading
        self._invocations = invocations
        self._status = status
        self._ring = ring
        self._ending = ending
        self._routes: dict[str, tuple[str, Callable[[Request, Responder], None]]] = {
            "/v1/load": ("POST", self._load),
            "/v1/invoke": ("POST", self._invoke),
            "/v1/health": ("GET", self._health),
            "/v1/status": ("GET", self._tell_status),
            "/v1/kill": ("POST", self._kill),
            "/v1/logs": ("GET", self._logs),
        }

    def on_request(self, request: Request, responder: Responder) -> None:
        try:
            method, answer = self._routes.get(request.path, ("", None))
            if answer is None:
                raise AgentError("RouteNotFound", f"there is no route {request.path}")
            if request.method != method and (method, request.method) != ("GET", "HEAD"):
                message = f"{request.path} takes {method}, not {request.method}"
                raise AgentError("MethodNotAllowed", message, headers=(("Allow", method),))
            answer(request, responder)
        except AgentError as error:
            responder.send_error(error)

    def _load(self, request: Request, responder: Responder) -> None:
        arrived = time.perf_counter()
        self._loading.submit(_read_json(request), arrived, responder)

    def _invoke(self, request: Request, responder: Responder) -> None:
        loaded = self._loading.request
        if loaded is not None and loaded.kind == "http":
            raise AgentError("NotLoaded", f"the function is an app: its requests go to port {self._loading.port}")
        # The path of the control route is nothing of the function's.
        self._invocations.submit(request._replace(path="/"), responder)

    def _health(self, request: Request, responder: Responder) -> None:
        state = self._lifecycle.state
        is_unready = _query(request, "probe") == "ready" and state not in _PROBED_STATES
        body = {"contract": CONTRACT_VERSION, "state": state, "epoch": self._lifecycle.epoch}
        _send_json(responder, 503 if is_unready else 200, body)

    def _tell_status(self, request: Request, responder: Responder) -> None:
        _send_json(responder, 200, self._status.body(_query(request, "requestId")))

    def _logs(self, request: Request, responder: Responder) -> None:
        limit = _query(request, "limitBytes")
        if limit is not None and not re.fullmatch(r"[0-9]{1,12}", limit):
            problem = {"field": "limitBytes", "message": "must be a number of bytes"}
            raise AgentError("BadRequest", "limitBytes: must be a number of bytes", details=[problem])
        limit_bytes = None if limit is None else int(limit)
        _send_json(responder, 200, self._ring.read(_query(request, "requestId"), limit_bytes))

    def _kill(self, request: Request, responder: Responder) -> None:
        body = _read_json(request)
        _check_kill(body)
        is_forced, grace_ms = body.get("mode", "graceful") == "force", body.get("graceMs", 1_000)
        reason = body.get("reason", "")
        if "requestId" in body:
            status, state = self._invocations.kill(body["requestId"], is_forced, int(grace_ms), reason)
            return _send_json(responder, status, {"requestId": body["requestId"], "state": state})
        if self._lifecycle.is_ended:
            return _send_json(responder, 200, {"state": self._lifecycle.state})
        why = "the process was killed" + (f": {reason}" if reason else "")
        if is_forced:
            self._ending.fail("Killed", why)
            return _send_json(responder, 202, {"state": "terminated"})
        overdue = f"{why}; its requests did not end within {int(grace_ms)} ms"
        self._ending.drain(grace_ms / 1000, lambda: self._ending.fail("Killed", overdue))
        _send_json(responder, 202, {"state": "draining"})


def _check_kill(body: Any) -> None:
    if not isinstance(body, dict):
        problem = {"field": "(body)", "message": "must be an object"}
        raise AgentError("BadRequest", "(body): must be an object", details=[problem])
    grace_ms, reason, request_id = body.get("graceMs", 0), body.get("reason", ""), body.get("requestId", "-")
    is_number = isinstance(grace_ms, (int, float)) and not isinstance(grace_ms, bool)
    rules = {
        "requestId": (
            isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) is not None,
            'must be 1 to 128 letters, digits, ".", "_", ":" or "-"',
        ),
        "mode": (body.get("mode", "force") in ("graceful", "force"), 'must be "graceful" or "force"'),
        "graceMs": (
            is_number and 0 <= grace_ms <= MAX_GRACE_MS and grace_ms == int(grace_ms),
            f"must be a whole number from 0 to {MAX_GRACE_MS}",
        ),
        "reason": (
            isinstance(reason, str) and len(reason) <= MAX_REASON_CHARACTERS,
            f"must be a string of at most {MAX_REASON_CHARACTERS} characters",
        ),
    }
    problems = [{"field": field, "message": message} for field, (is_right, message) in rules.items() if not is_right]
    problems += [{"field": field, "message": "is not a known field"} for field in body if field not in rules]
    if problems:
        message = "; ".join(f"{problem['field']}: {problem['message']}" for problem in problems)
        raise AgentError("BadRequest", f"the kill is not valid: {message}", details=problems)


def _read_json(request: Request) -> Any:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise AgentError("UnsupportedMediaType", f"{request.path} takes application/json, not {media_type or 'no type'}")
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise AgentError("BadJson", f"the body is not JSON: {error}") from None


def _query(request: Request, name: str) -> str | None:
    return parse_qs(request.query, keep_blank_values=True).get(name, [None])[-1] if request.query else None


def _send_json(responder: Responder, status: int, body: dict[str, Any]) -> None:
    responder.send(status, [("Content-Type", "application/json")], json.dumps(body).encode())
