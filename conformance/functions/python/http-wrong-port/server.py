from http.server import BaseHTTPRequestHandler, HTTPServer

HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler).serve_forever()
