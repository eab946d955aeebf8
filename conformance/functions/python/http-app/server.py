import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class App(BaseHTTPRequestHandler):
    def answer(self):
        if self.path == "/exit":
            os._exit(5)
        if self.path == "/stream":
            return self.stream()
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        print(f"served {self.path}", flush=True)
        reply = json.dumps({"method": self.command, "url": self.path, "body": body}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def stream(self):
        self.send_response(200)
        self.end_headers()
        for at, piece in enumerate((b"one ", b"two ", b"three")):
            time.sleep(0.15 if at else 0)
            self.wfile.write(piece)
            self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_words):
        pass


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
