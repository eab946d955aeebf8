import asyncio
import json
import os

LOOPS = set()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await live(scope, receive, send)
    LOOPS.add(id(asyncio.get_running_loop()))
    print("served", scope["path"])
    message = await receive()
    if scope["path"] == "/half":
        return await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/wait":
        await asyncio.sleep(30)
    left = asyncio.ensure_future(receive())
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "body": message["body"].decode(),
        "state": scope["state"],
        "loops": len(LOOPS),
    }
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-type", b"application/json")]})
    text = json.dumps(told).encode()
    await send({"type": "http.response.body", "body": text[:5], "more_body": True})
    assert not left.done()
    await send({"type": "http.response.body", "body": text[5:]})
    assert (await left)["type"] == "http.disconnect"


async def live(scope, receive, send):
    if os.environ.get("LIFESPAN") == "none":
        raise RuntimeError("this app has no lifespan")
    assert (await receive())["type"] == "lifespan.startup"
    if os.environ.get("LIFESPAN") == "fails":
        return await send({"type": "lifespan.startup.failed", "message": "no database today"})
    scope["state"]["pool"] = "connected"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("disconnected")
    await send({"type": "lifespan.shutdown.complete"})
