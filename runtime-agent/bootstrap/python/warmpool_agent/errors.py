"""The errors that the agent answers with: a stable code, a status and a sentence."""

from __future__ import annotations

import json

STATUS_OF_CODE = {
    "BadHttp": 400,
    "BadJson": 400,
    "BadRequest": 400,
    "RouteNotFound": 404,
    "RequestUnknown": 404,
    "MethodNotAllowed": 405,
    "PodNotStandby": 409,
    "RequestIdInUse": 409,
    "Draining": 410,
    "RuntimeMismatch": 412,
    "BodyTooLarge": 413,
    "UnsupportedMediaType": 415,
    "UserCodeError": 422,
    "HandlerNotFound": 422,
    "NotLoaded": 425,
    "QueueFull": 429,
    "HeadersTooLarge": 431,
    "ListenFailed": 500,
    "UserError": 502,
    "RequestKilled": 502,
    "InitTimeout": 504,
    "RequestTimeout": 504,
}

REASON_PHRASES = {
    100: "Continue",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Entity",
    425: "Too Early",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class AgentError(Exception):
    def __init__(
        self,
        code: str,
        message: str,
        phase: str | None = None,
        stack: str | None = None,
        details: list[dict[str, str]] | None = None,
        retry_after_seconds: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ):
        super().__init__(message)
        self.code = code
        self.status = STATUS_OF_CODE[code]
        self.message = message
        self.phase = phase
        self.stack = stack
        self.details = details
        self.retry_after_seconds = retry_after_seconds
        self._headers = headers

    def headers(self) -> list[tuple[str, str]]:
        headers = [("Content-Type", "application/json"), *self._headers]
        if self.retry_after_seconds is not None:
            headers.append(("Retry-After", str(self.retry_after_seconds)))
        return headers

    def body(self) -> bytes:
        fields = {
            "statusCode": self.status,
            "code": self.code,
            "error": REASON_PHRASES.get(self.status, "Error"),
            "message": self.message,
            "phase": self.phase,
            "stack": self.stack,
            "details": self.details,
            "retryAfterSeconds": self.retry_after_seconds,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
