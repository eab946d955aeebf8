"""
`python3 serve_prepare.py SOCKET`: runs prepare.py for those who connect to the unix socket SOCKET, one after the other and each in a process
of its own. A connection sends the tree's path as a line, then `s` and `c` for stop and continue; whoever closes it ends the run. It
gets the run's output and, if the run ended well, one zero byte behind it.
"""

import os
import select
import signal
import socket
import subprocess
import sys

PREPARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prepare.py")
MAX_PATH_BYTES = 4096
ASK_TIMEOUT_S = 10
RUN_TIMEOUT_S = 150
LOWEST_PRIORITY = 19
FIRST_TO_GO = "1000"


def main(path: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen(16)
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    serve(connection)
                except OSError as error:
                    print(f"a run was given up: {error}", file=sys.stderr, flush=True)


def serve(connection: socket.socket) -> None:
    connection.settimeout(ASK_TIMEOUT_S)
    tree, orders = asked(connection)
    if tree is None or not tree.startswith("/"):
        return
    # the run writes to it as it is
    connection.settimeout(None)
    command = [sys.executable, "-I", "-S", "-B", PREPARE, tree]
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=connection, cwd="/", env={})
    try:
        yield_to_all(run.pid)
        if follow(connection, run, orders) == 0:
            connection.settimeout(ASK_TIMEOUT_S)
            connection.sendall(b"\0")
    finally:
        run.kill()
        run.wait()


def asked(connection: socket.socket) -> "tuple[str | None, bytes]":
    """The tree's path, and what came behind it."""
    text = b""
    while b"\n" not in text:
        more = connection.recv(MAX_PATH_BYTES)
        text += more
        if not more or len(text) > MAX_PATH_BYTES:
            return None, b""
    line, orders = text.split(b"\n", 1)
    return os.fsdecode(line), orders


def follow(connection: socket.socket, run: "subprocess.Popen[bytes]", orders: bytes) -> "int | None":
    """Does as it is told until the run ends; `None` when nobody wants it any more."""
    ended = os.pidfd_open(run.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(connection, select.POLLIN)
        while True:
            for order in orders:
                run.send_signal(signal.SIGSTOP if order == ord("s") else signal.SIGCONT)
            ready = poll.poll(RUN_TIMEOUT_S * 1000)
            if not ready:
                return None
            if any(fd == ended for fd, _ in ready):
                return run.wait()
            orders = connection.recv(64)
            if not orders:
                return None
    finally:
        os.close(ended)


def yield_to_all(pid: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)
        # what is short of memory because of this run is this run
        with open(f"/proc/{pid}/oom_score_adj", "w") as score:
            score.write(FIRST_TO_GO)
    except OSError:
        # it has ended already
        pass


main(sys.argv[1])
