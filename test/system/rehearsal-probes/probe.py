import sys

MODULES = sorted(sys.modules)
PATH = list(sys.path)
PATH_CACHE = sorted(sys.path_importer_cache)

import asyncio
import atexit
import builtins
import gc
import linecache
import locale
import logging
import os
import random
import signal
import threading
import time
import uuid
import warnings

FOUND = {
    "modules": MODULES,
    "path": PATH,
    "pathCache": PATH_CACHE,
    "argv": sys.argv,
    "origArgv": getattr(sys, "orig_argv", []),
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "main": sorted(vars(sys.modules["__main__"])),
    "builtins": sorted(vars(builtins)),
    "sysNames": sorted(name for name in vars(sys) if not name.startswith("last_")),
    "lastError": [name for name in vars(sys) if name.startswith("last_")],
    "openFiles": sorted(
        os.readlink(f"/proc/self/fd/{fd}").split("[")[0] for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")
    ),
    "besideTheCode": sorted(os.listdir("..")),
    "threads": [thread.name for thread in threading.enumerate()],
    "signals": {str(number): str(signal.getsignal(number)).split(" at ")[0] for number in range(1, 32) if number != signal.SIGUSR1},
    "gc": [gc.isenabled(), list(gc.get_threshold())],
    "lineCache": sorted(linecache.cache),
    "locale": str(locale.setlocale(locale.LC_ALL)),
    "timeZone": list(time.tzname),
    "loggers": sorted(logging.root.manager.loggerDict),
    "handlers": [str(handler) for handler in logging.root.handlers],
    "filters": [str(entry) for entry in warnings.filters],
    "eventLoopPolicy": type(asyncio.get_event_loop_policy()).__name__,
    "recursionLimit": sys.getrecursionlimit(),
    "switchInterval": sys.getswitchinterval(),
    "metaPath": [str(finder).split(" at ")[0] for finder in sys.meta_path],
    "pathHooks": [str(hook).split(" at ")[0] for hook in sys.path_hooks],
    "hooks": [str(hook).split(" at ")[0] for hook in (sys.excepthook, sys.displayhook, threading.excepthook)],
    "trace": [str(sys.gettrace()), str(sys.getprofile())],
    "umask": os.umask(0o22),
    "bytecode": sys.dont_write_bytecode,
    "exitHandlers": atexit._ncallbacks(),
}


def handler(_event, _context):
    return {"found": FOUND, "random": [random.random(), uuid.uuid4().int % 2**40]}
