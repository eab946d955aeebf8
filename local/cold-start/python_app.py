"""What a platform without standby pods runs: start Python, import the app object, serve it."""

import asyncio
import inspect
import os
import sys
import time
from importlib import import_module
from urllib.parse import unquote
from wsgiref.simple_server import WSGIRequestHandler, make_server

folder, module_name, object_name = sys.argv[1:4]
for vendored in ("site-packages", "python", "vendor", "."):
    sys.path.insert(0, os.path.join(folder, vendored))


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def as_wsgi(app):
    """ASGI needs a server that is not in the standard library; one request after the other needs only this."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    inbox, outbox, state = asyncio.Queue(), asyncio.Queue(), {}

    async def start():
        life = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, inbox.get, outbox.put))
        await inbox.put({"type": "lifespan.startup"})
        await asyncio.wait((life, asyncio.ensure_future(outbox.get())), return_when=asyncio.FIRST_COMPLETED)

    loop.run_until_complete(start())

    def answer(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        messages = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            messages.append(message)

        headers = [(name[5:].lower().replace("_", "-").encode(), value.encode()) for name, value in environ.items() if name[:5] == "HTTP_"]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": environ["REQUEST_METHOD"],
            "scheme": "http", "path": unquote(environ["PATH_INFO"]), "query_string": environ["QUERY_STRING"].encode(),
            "root_path": "", "headers": headers, "state": dict(state),
        }  # fmt: skip
        loop.run_until_complete(app(scope, receive, send))
        begun, *rest = messages
        start_response(f"{begun['status']} -", [(name.decode(), value.decode()) for name, value in begun["headers"]])
        return [message["body"] for message in rest]

    return answer


started = time.perf_counter()
app = getattr(import_module(module_name), object_name)
if inspect.iscoroutinefunction(type(app).__call__):
    app = as_wsgi(app)
print("import", (time.perf_counter() - started) * 1000, flush=True)
make_server("127.0.0.1", int(os.environ["PORT"]), app, handler_class=Quiet).serve_forever()
