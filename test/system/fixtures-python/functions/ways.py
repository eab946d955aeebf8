"""Ways of Python that other languages do not have."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import zlib

loops = []


async def answer_later(event, context):
    loops.append(asyncio.get_running_loop())
    await asyncio.sleep(0.01)
    return {"sameLoop": all(loop is loops[0] for loop in loops)}


async def wait_long(event, context):
    print(f"began {context.request_id}")
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up")


async def spin_long(event, context):
    print(f"began {context.request_id}")
    while True:
        pass


def subprocess_env(event, context):
    command = [sys.executable, "-c", "import os, json; print(json.dumps(dict(os.environ)))"]
    return {"env": subprocess.run(command, capture_output=True, text=True, check=True).stdout}


def write_natively(event, context):
    os.write(1, b"native out\n")
    os.write(2, b"native error\n")
    subprocess.run(["sh", "-c", "echo from a subprocess"], check=True)


def print_in_threads(event, context):
    threads = [threading.Thread(target=print, args=(f"thread {number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write("no line end")


def compress(event, context):
    return {"crc": zlib.crc32(b"warm"), "back": zlib.decompress(zlib.compress(b"warm")).decode()}


def fork_away(event, context):
    pid = os.fork()
    if pid == 0:
        return {"from": "the copy"}
    os.waitpid(pid, 0)
    return {"from": "the handler"}


def exit_hard(event, context):
    os._exit(9)


def crash(event, context):
    os.kill(os.getpid(), 11)


def start_orphan(event, context):
    return {"pid": subprocess.Popen(["sleep", "600"]).pid}


def many_lines(event, context):
    for number in range(event["lines"]):
        print(f"line {number} " + "y" * 90)


def bad_result(event, context):
    return {
        "object": object(),
        "nan": float("nan"),
    }[event["kind"]]


def bad_header(event, context):
    return {"statusCode": 200, "headers": {"X-Name": "a\r\nX-Other: b"}, "body": ""}


def two_cookies(event, context):
    return {"statusCode": 201, "headers": {"Set-Cookie": ["a=1", "b=2"], "X-Int": 5}, "body": {"made": True}}


def sleep_uninterrupted(event, context):
    # One call into C that runs on after a signal: only the end of the process ends it.
    import hashlib

    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 500_000_000)


def describe_modules(event, context):
    import queue

    return {"queue": getattr(queue, "__file__", ""), "path": sys.path[:1], "startedAt": time.time()}
