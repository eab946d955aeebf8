"""`GET /v1/status`."""

from __future__ import annotations

import os
from typing import Any

from ..config import Config
from ..errors import AgentError
from .child_process import ChildProcess
from .lifecycle import CONTRACT_VERSION, Lifecycle, now_unix_ms
from .loading import Loading
from .requests import RequestHistory


class Status:
    def __init__(
        self,
        config: Config,
        lifecycle: Lifecycle,
        loading: Loading,
        history: RequestHistory,
        child: ChildProcess,
    ):
        self._config = config
        self._lifecycle = lifecycle
        self._loading = loading
        self._history = history
        self._child = child

    def body(self, request_id: str | None) -> dict[str, Any]:
        requests = self._history.bodies()
        if request_id is not None:
            requests = [request for request in requests if request["id"] == request_id]
            if not requests:
                raise AgentError("RequestUnknown", f'no request "{request_id}" is known to this process')
        lifecycle, load = self._lifecycle, self._loading.request
        optional = {
            "claimId": load and load.claim_id,
            "digest": load and load.digest,
            "fence": self._loading.fence,
            "port": self._config.port if lifecycle.state in ("ready", "busy", "draining") and load else None,
            "idleSinceUnixMs": self._idle_since_unix_ms(),
            "lastError": lifecycle.last_error,
        }
        return {
            "contract": CONTRACT_VERSION,
            "state": lifecycle.state,
            "epoch": lifecycle.epoch,
            "seq": lifecycle.seq,
            "sinceUnixMs": lifecycle.since_unix_ms,
            "host": self._config.host,
            "runtime": {"name": self._config.runtime_name, "version": self._config.runtime_version},
            "pid": os.getpid(),
            "uptimeMs": round(now_unix_ms() - lifecycle.started_at_unix_ms, 3),
            "inFlight": self._history.in_flight,
            "executions": self._history.executions,
            "rssMiB": round(_resident_mib(os.getpid()) + _resident_mib(self._child.pid), 1),
            "requests": requests,
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _idle_since_unix_ms(self) -> float | None:
        """None for an app that serves itself, whose requests the agent does not see."""
        if self._loading.serves_itself or self._lifecycle.state != "ready":
            return None
        return self._history.idle_since_unix_ms or self._lifecycle.since_unix_ms


def _resident_mib(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / (1024 * 1024)
    except (OSError, IndexError):
        return 0.0
