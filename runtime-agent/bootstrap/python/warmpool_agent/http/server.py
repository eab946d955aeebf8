"""Connections of one listening socket: one request at a time on each, kept alive, every buffer bounded."""

from __future__ import annotations

import select
import socket
from typing import Callable

from ..errors import REASON_PHRASES, AgentError
from ..event_loop import READABLE, WRITABLE, EventLoop, Timer
from ..frames import READ_BYTES
from .parser import Request, RequestParser
from .responder import Headers, Responder

MAX_CONNECTIONS = 256
BACKLOG = 128
# What a client may send ahead while its request is answered.
MAX_AHEAD_BYTES = 256 * 1024
# A client that began a request must finish sending it within this.
REQUEST_TIMEOUT_SECONDS = 30.0
# After a refusal the rest of a body is read and dropped this long, so that the client gets to read the answer.
LINGER_SECONDS = 2.0
ACCEPT_PAUSE_SECONDS = 0.1

class HttpServer:
    def __init__(
        self,
        loop: EventLoop,
        listener: socket.socket,
        on_request: Callable[[Request, Responder], None],
        body_limit_bytes: Callable[[str], int],
        idle_seconds: float | None,
    ):
        """Takes nobody before `start`: a listener that does not listen yet cannot be watched."""
        self.loop = loop
        self.on_request = on_request
        self.body_limit_bytes = body_limit_bytes
        self.idle_seconds = idle_seconds
        self.is_closing = False
        self._listener = listener
        self._connections: set[_Connection] = set()
        listener.setblocking(False)

    def start(self) -> None:
        self._listener.listen(BACKLOG)
        self.loop.watch(self._listener.fileno(), READABLE, self._accept)

    @property
    def is_flushed(self) -> bool:
        return not any(connection.has_output for connection in self._connections)

    def stop_listening(self) -> None:
        """Connections go on for what is already on its way, and are then closed."""
        if not self.is_closing:
            self.is_closing = True
            self.loop.unwatch(self._listener.fileno())
            self._listener.close()

    def forget(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        if not self.is_closing and len(self._connections) == MAX_CONNECTIONS - 1:
            self.loop.watch(self._listener.fileno(), READABLE, self._accept)

    def _pause_accepting(self) -> None:
        self.loop.unwatch(self._listener.fileno())

        def resume() -> None:
            if not self.is_closing:
                self.loop.watch(self._listener.fileno(), READABLE, self._accept)

        self.loop.after(ACCEPT_PAUSE_SECONDS, resume)

    def _accept(self, _events: int) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # No descriptor left: the connection waits in the queue until one is.
                self._pause_accepting()
                return
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(_Connection(self, client))
            if len(self._connections) >= MAX_CONNECTIONS:
                self.loop.unwatch(self._listener.fileno())
                return


class _Connection:
    def __init__(self, server: HttpServer, client: socket.socket):
        self._server = server
        self._client = client
        self._fd = client.fileno()
        self._parser = RequestParser(server.body_limit_bytes)
        self._output = bytearray()
        self._responder: Responder | None = None
        self._request: Request | None = None
        self._is_lingering = False
        self._is_chunked = False
        self._is_bodiless = False
        self._is_proceeding = False
        self._is_ended_by_client = False
        self._timer: Timer | None = None
        self._events = READABLE
        server.loop.watch(self._fd, READABLE, self._on_ready)
        self._restart_timer()

    @property
    def has_output(self) -> bool:
        return len(self._output) > 0

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        request, self._request, self._responder = self._request, None, None
        is_kept_alive = request is not None and request.is_kept_alive and not self._server.is_closing
        is_head = request is not None and request.method == "HEAD"
        lines = [f"HTTP/1.1 {status} {REASON_PHRASES.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if status >= 200 and status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        if not is_kept_alive:
            lines.append("Connection: close")
        self._output += "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        if not is_head and status not in (204, 304):
            self._output += body
        self._finish(is_kept_alive)

    def begin(self, status: int, headers: Headers) -> None:
        request = self._request
        self._is_chunked = request is not None and request.takes_chunks
        self._is_bodiless = status in (204, 304) or (request is not None and request.method == "HEAD")
        lines = [f"HTTP/1.1 {status} {REASON_PHRASES.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if self._is_chunked and status not in (204, 304):
            lines.append("Transfer-Encoding: chunked")
        if not self._keeps_alive_after_stream():
            lines.append("Connection: close")
        self._output += "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self._write()

    def write_piece(self, piece: bytes) -> int:
        if piece and not self._is_bodiless:
            self._output += b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece
            self._write()
        return len(self._output)

    def end_stream(self) -> None:
        is_kept_alive = self._keeps_alive_after_stream()
        self._request = self._responder = None
        if self._is_chunked and not self._is_bodiless:
            self._output += b"0\r\n\r\n"
        self._finish(is_kept_alive)

    def cut(self) -> None:
        self._responder = None
        self._close()

    def _keeps_alive_after_stream(self) -> bool:
        request = self._request
        return request is not None and request.is_kept_alive and self._is_chunked and not self._server.is_closing

    def _finish(self, is_kept_alive: bool) -> None:
        self._is_lingering = not is_kept_alive
        self._write()
        if not self._is_lingering:
            self._restart_timer()
            if not self._is_proceeding:
                self._proceed()

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE and self._output:
            self._write()
        # POLLHUP: both directions are closed. A client that only ended its own still reads the answer.
        if events & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
            self._read()
            return self._close()
        if events & READABLE:
            self._read()

    def _read(self) -> None:
        try:
            data = self._client.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            return self._close()
        if not data:
            self._is_ended_by_client = True
            if self._responder is None and not self._output:
                return self._close()
            self._rewatch()
        elif not self._is_lingering:
            was_within_request = self._parser.is_within_request
            self._parser.feed(data)
            if self._responder is not None:
                return self._rewatch()
            self._proceed()
            # Most requests come in one piece and need no clock.
            is_waiting = self._responder is None and not self._is_lingering and self._parser.is_within_request
            if is_waiting and not was_within_request:
                self._restart_timer(REQUEST_TIMEOUT_SECONDS)

    def _proceed(self) -> None:
        """One request is handed on at a time; what a client sends ahead waits in the parser."""
        self._is_proceeding = True
        try:
            while self._fd >= 0 and self._responder is None and not self._is_lingering:
                request = self._parser.next_request()
                if request is None:
                    if self._parser.takes_continue():
                        self._output += b"HTTP/1.1 100 Continue\r\n\r\n"
                        self._write()
                    return
                self._cancel_timer()
                self._request = request
                self._responder = responder = Responder(self)
                self._server.on_request(request, responder)
        except AgentError as error:
            Responder(self).send_error(error)
        finally:
            self._is_proceeding = False

    def _write(self) -> None:
        try:
            while self._output:
                del self._output[: self._client.send(self._output[:READ_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            return self._close()
        if not self._output and self._is_lingering:
            if self._is_ended_by_client:
                return self._close()
            try:
                self._client.shutdown(socket.SHUT_WR)
            except OSError:
                return self._close()
            self._restart_timer(LINGER_SECONDS)
        self._rewatch()
        on_drained = None if self._responder is None or self._output else self._responder.on_drained
        if on_drained is not None:
            on_drained()

    def _rewatch(self) -> None:
        if self._fd >= 0:
            is_ahead = self._responder is not None and self._parser.buffered_bytes >= MAX_AHEAD_BYTES
            reads = 0 if self._is_ended_by_client or is_ahead else READABLE
            events = reads | (WRITABLE if self._output else 0)
            if events != self._events:
                self._events = events
                self._server.loop.change(self._fd, events)

    def _restart_timer(self, seconds: float | None = None) -> None:
        self._cancel_timer()
        seconds = self._server.idle_seconds if seconds is None else seconds
        if seconds is not None and self._fd >= 0:
            self._timer = self._server.loop.after(seconds, self._close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        if self._fd < 0:
            return
        self._cancel_timer()
        self._server.loop.unwatch(self._fd)
        self._fd = -1
        self._output.clear()
        self._client.close()
        self._server.forget(self)
        responder, self._responder = self._responder, None
        if responder is not None:
            responder.gone()
