"""gunicorn's threaded worker, made proof against slow and broken clients.

What a request means is the application's business; here it is only taken in, in time or not at all.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from softanswer.api.problems import CONTENT_TYPE, problem, unreadable

# gunicorn waits for the rest of a request for ever, so that as many half-sent ones as there are
# threads would stop the service. Looked at once a second, hence 9 s at most.
_READ_TIMEOUT_S = 8
# The same for an answer that its client does not take.
_SEND_TIMEOUT = struct.pack("ll", 10, 0)
_LEAVE_TIMEOUT_S = 2
_LEAVE_BYTES = 65_536
# How long a worker waits with a new connection for each that it holds, for four at most.
_COURTESY_S = 0.0005
_MOST_HELD = 4


class Worker(ThreadWorker):
    """One process; lives as long as gunicorn keeps it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[TConn, float] = {}

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, unless a worker that holds fewer is quicker.

        All workers wake for it, and one that won by chance would have three callers wait in line while its
        neighbour has one; kept alive, they would stay there.
        """
        time.sleep(min(self.nr_conns, _MOST_HELD) * _COURTESY_S)
        super().accept(listener)

    def handle(self, conn: TConn) -> Any:
        """Take one request from a connection and answer it. Runs in a thread."""
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        self._begun[conn] = time.monotonic()
        try:
            goes_on = super().handle(conn)
        finally:
            del self._begun[conn]
        if not goes_on:
            _take_leave(conn.sock)
        return goes_on

    def murder_pending(self) -> None:
        """End the waiting for requests that are late, at each turn of the main loop.

        What has arrived by then is read and answered, however long that takes.
        """
        super().murder_pending()
        late = time.monotonic() - _READ_TIMEOUT_S
        for conn, begun in list(self._begun.items()):
            if begun < late:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Refuse what is no request; unlike gunicorn's, neither answer nor log repeats any of it."""
        self.log.info("unreadable request: %s", type(exc).__name__)
        if isinstance(exc, ParseException):
            kind = unreadable(exc)
            body = json.dumps(problem(kind)).encode()
            head = (
                f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\nConnection: close\r\n"
                f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            with suppress(OSError):
                client.sendall(head.encode() + body)


def _take_leave(sock: socket.socket) -> None:
    """Say that nothing follows, and wait for the client to have read that (RFC 9112, 9.6).

    gunicorn does the same, but in its main loop, where each client that does not close stops all
    others for two seconds; a socket that is shut down already it closes at once.
    """
    end = time.monotonic() + _LEAVE_TIMEOUT_S
    left = _LEAVE_BYTES
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while left > 0 and (remaining := end - time.monotonic()) > 0:
            sock.settimeout(remaining)
            taken = len(sock.recv(4096))
            left = left - taken if taken else 0
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RD)
