import os
import signal
import subprocess
import sys
import time


def fork_bomb():
    while True:
        subprocess.Popen(["sleep", "60"])


def hog_memory():
    held = []
    while True:
        held.append(bytearray(b"\x01") * (8 * 1024 * 1024))


def close_files():
    os.closerange(0, 256)
    time.sleep(60)


def scribble():
    for fd in range(3, 64):
        try:
            os.write(fd, b"\0rubbish }{ HTTP/9\r\n")
        except OSError:
            pass
    return "scribbled"


def replace_globals():
    import builtins
    import inspect
    import json
    import socket
    import threading

    def broken(*_words, **_names):
        raise RuntimeError("replaced")

    json.dumps = json.loads = inspect.isawaitable = time.time = time.sleep = time.monotonic = broken
    os.getpid = os.kill = os._exit = sys.exit = signal.signal = socket.socket.recv = broken
    threading.Thread.start = broken
    sys.modules.clear()
    for name in ("len", "dict", "list", "isinstance", "int", "str", "print", "open", "getattr"):
        setattr(builtins, name, broken)
    return "replaced"


ACTS = {
    "nothing": lambda: {"did": "nothing"},
    "forkBomb": fork_bomb,
    "hogMemory": hog_memory,
    "closeFiles": close_files,
    "scribble": scribble,
    "exits": lambda: sys.exit(0),
    "stopItself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "replaceGlobals": replace_globals,
}


def handler(event, _context):
    return ACTS[event["does"]]()
