import os
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    print("served", path)
    if path == "/raise":
        raise RuntimeError("no database today")
    if path == "/sleep":
        time.sleep(30)
    if path == "/silent":
        return [b"nobody called start_response"]
    write = start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    if path == "/written":
        write(b"written, ")
    return Pieces(environ)


class Pieces:
    """A body that comes in parts and wants to be closed."""

    def __init__(self, environ):
        self.environ = environ

    def __iter__(self):
        environ = self.environ
        yield f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'].encode('latin-1').decode()}".encode()
        yield f"?{environ['QUERY_STRING']} {environ.get('HTTP_X_REAL')} {environ['CONTENT_TYPE']} ".encode()
        yield environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))

    def close(self):
        print("closed")


class Shop:
    application = staticmethod(app)


def not_an_app():
    pass


NUMBER = 7
