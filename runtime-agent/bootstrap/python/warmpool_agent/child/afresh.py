"""
An interpreter without the pool's packages, in the place of the child: for a function that brings its own version of a package
with compiled parts. Few of those can be loaded twice in one process, so the only right way is the slow one.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
from typing import Collection, NoReturn

from ..frames import Frame
from ..pre_import import import_standard_modules
from .cancellation import Cancellation
from .channel import Channel
from .main import Child
from .process import hide_agent, reset_signals, wrap_streams

ARGUMENT = "--afresh"


def start_afresh(agent_folder: str, channel: Channel, frame: Frame) -> NoReturn:
    load_fd = os.memfd_create("load", 0)
    with open(load_fd, "wb", closefd=False) as file:
        file.write(marshal.dumps(frame.head))
    os.lseek(load_fd, 0, os.SEEK_SET)
    os.set_inheritable(channel.fileno(), True)
    program = [sys.executable, "-u", "-B", os.path.join(agent_folder, "main.py"), ARGUMENT]
    sys.stdout.flush()
    sys.stderr.flush()
    # Without variables: the claim's are set with the rest of its identity, as in a standby interpreter.
    os.execve(sys.executable, [*program, str(channel.fileno()), str(load_fd)], {})


def go_on_afresh(agent_folder: str, kept_modules: Collection[str], channel_fd: int, load_fd: int) -> int:
    with open(load_fd, "rb") as file:
        frame = Frame(marshal.loads(file.read()), b"")
    sys.path[:] = frame.head["standingPath"]
    import_standard_modules()
    cancellation = Cancellation()
    cancellation.install()
    reset_signals()
    wrap_streams()
    hide_agent(agent_folder)
    os.set_inheritable(channel_fd, False)
    channel = Channel(socket.socket(fileno=channel_fd))
    return Child(channel, cancellation, kept_modules, {}, start_afresh_unneeded).run(frame)


def start_afresh_unneeded(_channel: Channel, _frame: Frame) -> NoReturn:
    raise AssertionError("an interpreter that holds no packages never has to start afresh")
