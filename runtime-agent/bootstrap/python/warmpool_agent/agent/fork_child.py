"""Forks the child while the agent has one thread and listens nowhere: nothing but what was pre-imported is shared."""

from __future__ import annotations

import gc
import os
import socket
import sys
from functools import partial
from typing import Collection, NamedTuple

from ..child.afresh import start_afresh
from ..child.cancellation import Cancellation
from ..child.channel import Channel
from ..child.identity import replace_env
from ..child.main import Child
from ..child.process import die_with_agent, hide_agent, lead_own_group, reset_signals, take_streams
from ..held.packages import HeldPackage


class ForkedChild(NamedTuple):
    pid: int
    channel: socket.socket
    stdout_fd: int
    stderr_fd: int


def fork_child(
    agent_folder: str, kept_modules: Collection[str], held: dict[str, HeldPackage], env: dict[str, str]
) -> ForkedChild:
    """Returns in the agent; in the child it raises SystemExit when the child's life is over."""
    agent_end, child_end = socket.socketpair()
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    # What is there stays there: a collection that touched it would copy its pages in both processes.
    gc.collect()
    gc.freeze()
    agent_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        agent_end.close()
        os.close(stdout_read)
        os.close(stderr_read)
        die_with_agent(agent_pid)
        lead_own_group()
        take_streams(stdout_write, stderr_write)
        reset_signals()
        cancellation = Cancellation()
        cancellation.install()
        replace_env(env)
        hide_agent(agent_folder)
        afresh = partial(start_afresh, agent_folder)
        sys.exit(Child(Channel(child_end), cancellation, kept_modules, held, afresh).run())
    child_end.close()
    os.close(stdout_write)
    os.close(stderr_write)
    return ForkedChild(pid, agent_end, stdout_read, stderr_read)
