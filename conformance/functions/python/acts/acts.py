import os
import sys
import time

ENV_AT_IMPORT = dict(os.environ)


def run(event, context):
    if not isinstance(event, dict):
        kind = "text" if isinstance(event, str) else "bytes" if isinstance(event, bytes) else "json"
        return {"type": kind, "length": len(event) if hasattr(event, "__len__") else 0}
    act = event.get("act", "echo")
    if act not in ACTS:
        raise ValueError(f"no act {act}")
    return ACTS[act](event, context)


def echo(event, context):
    told = {
        "requestId": context.request_id,
        "deadlineUnixMs": context.deadline_unix_ms,
        "remainingTimeMs": context.remaining_time_ms(),
        "claimId": context.claim_id,
        "function": context.function,
        "service": context.service,
        "http": context.http,
    }
    return {"event": event, "context": told}


def log(event, _context):
    print(event["text"])
    print(f"error: {event['text']}", file=sys.stderr)


def throw(event, _context):
    raise RuntimeError(event["message"])


def wait(event, _context):
    time.sleep(event["ms"] / 1000)
    return {"waited": event["ms"]}


def stubborn(event, _context):
    end = time.monotonic() + event["ms"] / 1000
    is_told = False
    while time.monotonic() < end:
        try:
            if not is_told:
                is_told = True
                print("stubborn", flush=True)
            time.sleep(end - time.monotonic())
        except BaseException:
            pass
    return {"waited": event["ms"]}


def spin(_event, _context):
    while True:
        pass


def hour(_event, _context):
    return {"hour": time.localtime(0).tm_hour}


def traces(_event, _context):
    """Names that only a rehearsal or the agent itself can have left."""
    import gc
    import linecache
    import tempfile

    words = ("rehears", "warmpool_agent")
    found = [f"module {name}" for name in sys.modules if any(word in name for word in words)]
    found += [f"path {folder}" for folder in sys.path + list(sys.path_importer_cache) if "bootstrap" in folder]
    found += [f"env {name}" for name in os.environ if "WARMPOOL" in name or "rehears" in name.lower()]
    found += [f"argument {word}" for word in sys.argv + getattr(sys, "orig_argv", []) if "bootstrap" in word]
    found += [f"line cache {file}" for file in linecache.cache if "rehears" in file]
    found += [f"global {name}" for name in vars(sys.modules["__main__"]) if not name.startswith("__")]
    found += [f"temporary file {name}" for name in os.listdir(tempfile.gettempdir()) if "rehears" in name]
    if not gc.isenabled():
        found.append("the garbage collector is off")
    return found


RUNNING = {"now": 0, "most": 0}


def overlap(event, _context):
    RUNNING["now"] += 1
    RUNNING["most"] = max(RUNNING["most"], RUNNING["now"])
    time.sleep(event["ms"] / 1000)
    RUNNING["now"] -= 1
    return {"most": RUNNING["most"]}


def log_twice(event, _context):
    print(f"{event['text']} begins", flush=True)
    time.sleep(event["ms"] / 1000)
    print(f"{event['text']} ends", flush=True)


def stream(event, _context):
    for at, piece in enumerate(event["pieces"]):
        if at == event.get("failsAfter"):
            raise RuntimeError("the source dried up")
        if at > 0:
            time.sleep(event["ms"] / 1000)
        yield piece


def write(event, _context):
    sys.stdout.write(event["text"])


def rubbish(_event, _context):
    sys.stdout.flush()
    os.write(1, bytes([0, 255, 254, 0xC3, 10]))


ACTS = {
    "echo": echo,
    "env": lambda _event, _context: dict(os.environ),
    "importEnv": lambda _event, _context: ENV_AT_IMPORT,
    "where": lambda _event, _context: {"cwd": os.getcwd(), "argv": [sys.executable, *sys.argv]},
    "hour": hour,
    "log": log,
    "longLine": lambda event, _context: print("x" * event["sizeBytes"]),
    "stream": stream,
    "throw": throw,
    "wait": wait,
    "stubborn": stubborn,
    "spin": spin,
    "exit": lambda event, _context: sys.exit(event["exitCode"]),
    "respond": lambda event, _context: event["reply"],
    "nothing": lambda _event, _context: None,
    "bytes": lambda event, _context: b"\x07" * event["sizeBytes"],
    "traces": traces,
    "write": write,
    "rubbish": rubbish,
    "logTwice": log_twice,
    "overlap": overlap,
}
