"""The child's life: rehearsals, one load, then calls one after another, until the agent ends the conversation."""

from __future__ import annotations

import gc
import os
import sys
import time
from importlib.machinery import PathFinder
from typing import Any, Callable, Collection, NoReturn

from ..frames import Frame
from ..held.finder import HeldFinder
from ..held.packages import HeldPackage
from .app import AppObject, start_app
from .calls import Calls, flush_output
from .cancellation import Cancellation
from .channel import Channel
from .handler import Handler
from .identity import Identity, bind
from .rehearsal import Untouched
from ..prepared import use_prepared
from .user_code import exit_code_of, import_app, import_handler, run_as_main
from .user_errors import UserCodeFailed, describe_error


class Child:
    def __init__(
        self,
        channel: Channel,
        cancellation: Cancellation,
        kept_modules: Collection[str],
        held: dict[str, HeldPackage],
        start_afresh: Callable[[Channel, Frame], NoReturn],
    ):
        self._channel = channel
        self._cancellation = cancellation
        self._kept_modules = frozenset(kept_modules)
        self._held = held
        self._start_afresh = start_afresh
        self._standing_path = list(sys.path)
        self._calls: Calls | None = None
        self._served: AppObject | None = None
        self._untouched: Untouched | None = None

    def run(self, first: Frame | None = None) -> int:
        """With a first frame it takes the place of another child, whose start has been told."""
        if first is None:
            self._channel.send({"type": "started"})
        while True:
            frame, first = first or self._channel.receive(), None
            if frame is None:
                return self._end()
            kind = frame.head["type"]
            if kind == "call" and self._calls is not None:
                reply, body = self._calls.call(frame)
                self._channel.send(reply, body)
            elif kind == "load" and frame.head["kind"] == "main":
                return self._serve(frame)
            elif kind == "load":
                self._channel.send(self._load(frame))
            elif kind == "rehearse":
                self._untouched = Untouched()
                self._channel.send(self._load(frame))
            elif kind == "forget" and self._untouched is not None:
                self._calls = None
                self._untouched.restore()
                self._untouched = None
                gc.collect()
                gc.freeze()
                self._channel.send({"type": "forgotten"})

    def _end(self) -> int:
        if self._served is not None:
            try:
                self._served.close()
            except Exception as error:
                sys.stderr.write(describe_error(error)[1] + "\n")
        return 0

    def _load(self, frame: Frame) -> dict[str, Any]:
        """Loads the module of a handler or of an app object."""
        process_id = os.getpid()
        try:
            return self._import(frame)
        except UserCodeFailed as failure:
            return _failed(failure)
        finally:
            if os.getpid() != process_id:
                os._exit(0)
            flush_output()

    def _import(self, frame: Frame) -> dict[str, Any]:
        load = frame.head
        code_path, handler = load["codePath"], load["handler"]
        is_app = load["kind"] == "app"
        module_path = handler.partition(":")[0].removesuffix(".py") if is_app else handler.rpartition(".")[0]
        module_file = os.path.join(code_path, module_path.replace(".", "/") + ".py")
        self._bind(frame, module_file)
        started = time.perf_counter()
        gc.disable()
        try:
            if is_app:
                self._served = app = start_app(import_app(handler, code_path))
                answer = app.answer
            else:
                answer = Handler(import_handler(handler, code_path)).answer
        finally:
            gc.enable()
        import_ms = (time.perf_counter() - started) * 1000
        self._calls = Calls(answer, load, self._cancellation, self._channel.send)
        return {"type": "loaded", "importMs": round(import_ms, 3)}

    def _bind(self, frame: Frame, main_file: str) -> None:
        load = frame.head
        code_path = load["codePath"]
        try:
            bind(Identity(env=load["env"], code_path=code_path, main_file=main_file), self._kept_modules)
        except OSError as error:
            message = f"the code folder {code_path} cannot be used: {error}"
            raise UserCodeFailed("UserCodeError", "import", message) from None
        use_prepared(code_path)
        if self._held:
            finder = HeldFinder(self._held, code_path)
            if finder.brings_other_extensions():
                self._start_afresh(self._channel, Frame({**load, "standingPath": self._standing_path}, b""))
            before_folders = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(before_folders, finder)

    def _serve(self, frame: Frame) -> int:
        """Runs an app as the main program; it answers its own requests, so that only its end is told."""
        load = frame.head
        process_id = os.getpid()
        exit_code = 0
        try:
            self._bind(frame, os.path.join(load["codePath"], load["handler"]))
            run_as_main(load["handler"], load["codePath"])
            told: dict[str, Any] = {"type": "ended", "exitCode": 0}
        except SystemExit as ending:
            exit_code = exit_code_of(ending)
            told = {"type": "ended", "exitCode": exit_code}
        except UserCodeFailed as failure:
            exit_code = 1
            told = _failed(failure)
        if os.getpid() != process_id:
            os._exit(exit_code)
        flush_output()
        self._channel.send(told)
        return exit_code


def _failed(failure: UserCodeFailed) -> dict[str, Any]:
    if failure.stack is not None:
        # The author looks for it in the log first.
        sys.stderr.write(failure.stack + "\n")
    return {
        "type": "loadFailed",
        "code": failure.code,
        "phase": failure.phase,
        "message": failure.message,
        "stack": failure.stack,
    }
