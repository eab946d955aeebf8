"""Every setting of the process. They are taken out of the environment, so that user code never sees one."""

from __future__ import annotations

from typing import MutableMapping, NamedTuple

# Names that survive from the container when a load replaces the environment (ENV_ALLOW_LIST of the protocol).
ENV_ALLOW_LIST = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL")
DEFAULT_LOG_BYTES = 256 * 1024
MAX_LOG_BYTES = 64 * 1024 * 1024
# sun_path holds 108 bytes, and the socket is bound under a longer name before it is renamed.
MAX_SOCKET_PATH_BYTES = 100


class ConfigError(Exception):
    pass


class Config(NamedTuple):
    socket_path: str
    host: str
    port: int
    runtime_name: str
    runtime_version: str
    pre_import: tuple[str, ...]
    is_rehearsed: bool
    has_lifeline: bool
    log_bytes: int
    container_env: dict[str, str]


def take_config(environ: MutableMapping[str, str]) -> Config:
    settings = {name: environ.pop(name) for name in list(environ) if name.startswith("WARMPOOL_")}
    socket_path = _required(settings, "WARMPOOL_SOCKET")
    if len(socket_path.encode()) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"WARMPOOL_SOCKET must not be longer than {MAX_SOCKET_PATH_BYTES} bytes, it is {socket_path!r}")
    return Config(
        socket_path=socket_path,
        host=_required(settings, "WARMPOOL_HOST"),
        port=_integer(settings, "WARMPOOL_PORT", _required(settings, "WARMPOOL_PORT"), 1, 65535),
        runtime_name=_required(settings, "WARMPOOL_RUNTIME_NAME"),
        runtime_version=_required(settings, "WARMPOOL_RUNTIME_VERSION"),
        pre_import=tuple(name.strip() for name in settings.get("WARMPOOL_PRE_IMPORT", "").split(",") if name.strip()),
        is_rehearsed=_switch(settings, "WARMPOOL_REHEARSE", "1"),
        has_lifeline=_switch(settings, "WARMPOOL_LIFELINE", "0"),
        log_bytes=_integer(
            settings, "WARMPOOL_LOG_BYTES", settings.get("WARMPOOL_LOG_BYTES") or str(DEFAULT_LOG_BYTES), 1, MAX_LOG_BYTES
        ),
        container_env={name: environ[name] for name in ENV_ALLOW_LIST if name in environ},
    )


def _required(settings: dict[str, str], name: str) -> str:
    value = settings.get(name, "")
    if value == "":
        raise ConfigError(f"{name} is required")
    return value


def _integer(settings: dict[str, str], name: str, text: str, minimum: int, maximum: int) -> int:
    if not text.isascii() or not text.isdigit() or not minimum <= int(text) <= maximum:
        raise ConfigError(f"{name} must be a whole number from {minimum} to {maximum}, it is {text!r}")
    return int(text)


def _switch(settings: dict[str, str], name: str, default: str) -> bool:
    value = settings.get(name) or default
    if value not in ("0", "1"):
        raise ConfigError(f"{name} must be 0 or 1, it is {value!r}")
    return value == "1"
