"""Walks the way of a load and of a few calls before the first real one, so that nothing is done for the first time then."""

from __future__ import annotations

import json
from typing import Callable

from ..frames import Frame
from .child_process import ChildProcess
from .log_pipes import LogPipes

# Enough for the interpreter to specialise its bytecode; more gained nothing (decision 0004).
ROUNDS = 5
_EVENTS = ({"name": "first"}, {"name": "second", "fails": True}, {"name": "third"})


class Rehearsing:
    def __init__(self, child: ChildProcess, logs: LogPipes, folder: str, env: dict[str, str], on_done: Callable[[], None]):
        self._child = child
        self._logs = logs
        self._folder = folder
        self._env = env
        self._on_done = on_done
        self._rounds_left = ROUNDS
        self._calls: list[dict] = []

    def start(self) -> None:
        self._logs.is_muted = True
        self._next_round()

    def on_frame(self, frame: Frame) -> None:
        kind = frame.head["type"]
        if kind == "forgotten":
            self._rounds_left -= 1
            if self._rounds_left > 0:
                return self._next_round()
            self._logs.drain()
            self._logs.is_muted = False
            self._on_done()
        elif kind == "loadFailed":
            raise RuntimeError(f"the rehearsal cannot be loaded: {frame.head['message']}")
        elif self._calls:
            self._call(self._calls.pop(0))
        else:
            self._child.send({"type": "forget"})

    def _next_round(self) -> None:
        self._calls = list(_EVENTS)
        load = {
            "type": "rehearse",
            "kind": "handler",
            "handler": "warmpool_rehearsal.run",
            "codePath": self._folder,
            "env": {**self._env, "PORT": "0"},
            "claimId": "rehearsal",
            "function": {},
            "service": {},
        }
        self._child.send(load)

    def _call(self, event: dict) -> None:
        head = {
            "type": "call",
            "id": "rehearsal",
            "deadlineUnixMs": 0,
            "contentType": "application/json",
            "interruptsSent": 0,
            "http": {"method": "POST", "path": "/", "queryString": "", "query": {}, "headers": {}},
        }
        self._child.send(head, json.dumps(event).encode())
