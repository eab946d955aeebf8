"""What a platform without standby pods runs: start Python, import the handler, serve it."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module

folder, module_name, function_name = sys.argv[1:4]
for vendored in ("site-packages", "python", "vendor", "."):
    sys.path.insert(0, os.path.join(folder, vendored))
started = time.perf_counter()
handler = getattr(import_module(module_name), function_name)
print("import", (time.perf_counter() - started) * 1000, flush=True)


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = json.dumps(handler(json.loads(body) if body else {}, None)).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Server).serve_forever()
