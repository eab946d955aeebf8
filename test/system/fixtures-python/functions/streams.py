"""Handlers that answer piece by piece."""

import asyncio
import itertools
import time

made = 0


async def in_turns(event, context):
    for piece in ("one ", b"two ", "three"):
        await asyncio.sleep(0)
        yield piece


def as_body(event, context):
    return {"statusCode": 201, "headers": {"Content-Type": "text/event-stream"}, "body": iter(["data: 1\n\n", "data: 2\n\n"])}


def empty(event, context):
    return iter(())


def fails_at_once(event, context):
    raise RuntimeError("dry from the start")
    yield


def wrong_piece(event, context):
    yield "one"
    yield 2


def endless(event, context):
    """A client that does not read must not fill anybody's memory."""
    global made
    if event.get("asks"):
        return {"made": made}
    return _pieces()


def _pieces():
    global made
    try:
        for made in itertools.count(1):
            yield b"x" * 65536
    finally:
        print("closed")


def slow(event, context):
    try:
        for number in itertools.count():
            yield f"{number} "
            time.sleep(0.01)
    finally:
        print("closed")
