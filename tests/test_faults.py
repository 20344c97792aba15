"""What broken, slow and hostile clients do to the running server: nothing that others notice."""

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from softanswer.settings import Settings

HANG_S = 10
START_S = 60
MAX_BODY = Settings().max_body_bytes
DRAFT = {"text": "Sorry if you feel that way. We sent a new one today.", "context": {"in_reply_to": "It broke!"}}
BODY = json.dumps(DRAFT).encode()


@dataclass(frozen=True)
class Server:
    """A running server: the process of gunicorn's master, its port, what it printed."""

    process: subprocess.Popen
    port: int
    log: Path

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def serving(folder: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"SOFTANSWER_PORT": str(port), "SOFTANSWER_WORKERS": "2", "SOFTANSWER_LOG_LEVEL": "debug"}
    log = folder / "server.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "softanswer.cli", "serve"]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT)
    server = Server(process, port, log)
    try:
        wait_until(lambda: statuses(send(server, request("GET", "/readyz"))) == [200])
        yield server
    finally:
        process.terminate()
        process.wait(START_S)


def wait_until(holds) -> None:
    end = time.monotonic() + START_S
    while not holds():
        assert time.monotonic() < end, "not in a minute"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def request(method="POST", path="/v1/score", body=b"", headers=(), length=None, close=True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
    if body or length is not None:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    if body and not any(h.startswith("Content-Type") for h in headers):
        lines.append("Content-Type: application/json")
    if close:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def chunked(*chunks: bytes, method="POST") -> bytes:
    return request(method, headers=["Transfer-Encoding: chunked", "Content-Type: application/json"]) + b"".join(chunks)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def send(server: Server, data: bytes, no_more: bool = False) -> bytes:
    """Everything that is answered until the server closes; a reset connection has answered nothing.

    `no_more` tells the server that nothing follows. Raises TimeoutError for a hang.
    """
    answer = b""
    end = time.monotonic() + HANG_S
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", server.port), HANG_S) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        if no_more:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_WR)
        while part := link.recv(65_536):
            answer += part
            link.settimeout(max(end - time.monotonic(), 0.01))
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", answer)]


def assert_serving(server: Server) -> None:
    assert statuses(send(server, request(body=BODY))) == [200]


REFUSED = {
    "a body shorter than its Content-Length": request(body=BODY, length=len(BODY) + 10),
    "a negative Content-Length": request(body=BODY, length=-1),
    "two Content-Lengths": request(body=BODY, headers=["Content-Length: 3"]),
    "a Content-Length beside chunks": request(body=BODY, headers=["Transfer-Encoding: chunked"]),
    "a Content-Length of 10 GB": request(body=BODY, length=10**10),
    "a body larger than the limit": request(body=b'{"text": "' + b"a" * MAX_BODY + b'"}'),
    "chunks that add up to more than the limit": chunked(*[chunk(b" " * 65_536)] * (MAX_BODY // 65_536 + 1), LAST),
    "a chunk of no size": chunked(b"x\r\n", BODY),
    "a chunk of a negative size": chunked(b"-5\r\n", BODY),
    "a chunk longer than it says": chunked(b"3\r\n", BODY, b"\r\n", LAST),
    "a chunk that is not finished": chunked(b"ffff\r\n", BODY),
    "a chunk of 4 GB": chunked(b"ffffffff\r\n", BODY),
    "chunks without an end": chunked(chunk(BODY)),
    "a chunk extension that never ends": chunked(b"5;" + b"a" * 100_000),
    "a trailer that is no header": chunked(chunk(BODY), b"0\r\nno header\r\n\r\n"),
    "trailers without an end": chunked(chunk(BODY), b"0\r\n" + b"X: a\r\n" * 200_000),
    "an unknown transfer coding": request(body=BODY, headers=["Transfer-Encoding: br"]),
    "10,000 headers": request(body=BODY, headers=[f"X-{n}: a" for n in range(10_000)]),
    "a header of 1 MB": request(body=BODY, headers=["X: " + "a" * 1_000_000]),
    "headers of 1 MB together": request(body=BODY, headers=[f"X-{n}: {'a' * 8_000}" for n in range(125)]),
    "a header name with a space": request(body=BODY, headers=["X Y: a"]),
    "a header without a colon": request(body=BODY, headers=["nothing"]),
    "a folded header": request(body=BODY, headers=["X: a\r\n b"]),
    "a NUL byte in a header": request(body=BODY, headers=["X: a\0b"]),
    "a NUL byte in the path": request(path="/v1/\0score", body=BODY),
    "a NUL byte in the body": request(body=BODY.replace(b"Sorry", b"Sor\0ry")),
    "only NUL bytes": b"\0" * 10_000,
    "a request line of 1 MB": request(path="/" + "a" * 1_000_000, body=BODY),
    "a request line without an end": b"A" * 100_000,
    "no HTTP": b"EHLO example.com\r\n\r\n",
    "an unknown version": request(body=BODY).replace(b"HTTP/1.1", b"HTTP/9.9", 1),
    "a lower-case method": request("post", body=BODY),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,
    "a form": request(body=b"text=a", headers=["Content-Type: application/x-www-form-urlencoded"]),
    "no Content-Type": request(body=BODY, headers=["Content-Type:"]),
    "a gzip bomb": request(body=gzip.compress(bytes(100_000_000)), headers=["Content-Encoding: gzip"]),
    "gzip without a word": request(body=gzip.compress(BODY)),
    "an expectation that nobody can meet": request(body=BODY, headers=["Expect: the-moon"]),
    "TRACE": request("TRACE"),
    "DELETE": request("DELETE"),
    "HEAD where there is only POST": request("HEAD"),
    "CONNECT": request("CONNECT", "example.com:443"),
    "dots in the path": request("GET", "/docs/assets/../../../../etc/passwd"),
    "a broken escape in the path": request("GET", "/docs/assets/%ff%00%2e%2e%2f"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_a_broken_request_is_refused(server, data):
    found = statuses(send(server, data, no_more=True))
    assert len(found) <= 1
    assert all(400 <= status < 500 for status in found), found
    assert_serving(server)


SERVED = {
    "chunks": (chunked(chunk(BODY[:9]), chunk(BODY[9:]), LAST), [200]),
    "chunks with an extension and a trailer": (
        chunked(b"%x;a=b\r\n%s\r\n" % (len(BODY), BODY), b"0\r\nX: a\r\n\r\n"), [200],
    ),
    "three requests at once": (request(body=BODY, close=False) * 2 + request(body=BODY), [200, 200, 200]),
    "a bad body between good ones": (
        request(body=BODY, close=False) + request(body=b"{", close=False) + request(body=BODY), [200, 400, 200],
    ),
    "a body longer than its Content-Length": (request(body=BODY + b"rest\r\n\r\n", length=len(BODY), close=False), [200, 400]),
    "Expect: 100-continue": (request(body=BODY, headers=["Expect: 100-continue"]), [100, 200]),
    "a proxy's request": (request("GET", "http://example.com/healthz"), [200]),
    "HEAD": (request("HEAD", "/healthz"), [200]),
    "OPTIONS": (request("OPTIONS"), [200]),
}  # fmt: skip


@pytest.mark.parametrize("data, expected", SERVED.values(), ids=SERVED.keys())
def test_an_unusual_request_is_answered(server, data, expected):
    assert statuses(send(server, data, no_more=True)) == expected
    assert_serving(server)


SLOW = {
    "half a header": request(body=BODY)[:40],
    "no body": request(body=BODY)[: -len(BODY)],
    "half a chunk": chunked(b"ff\r\n", BODY),
    "half a TLS hello": REFUSED["a TLS hello"],
}


def test_half_sent_requests_keep_nobody_waiting(server):
    """200 connections that stop and one that trickles: all are closed in time, others are served meanwhile."""
    with contextlib.ExitStack() as stack:
        trickling = stack.enter_context(ThreadPoolExecutor(1)).submit(trickle, server)
        links = [
            (name, stack.enter_context(socket.create_connection(("127.0.0.1", server.port), HANG_S)))
            for name in SLOW
            for _ in range(50)
        ]
        for name, link in links:
            link.sendall(SLOW[name])
        started = time.monotonic()
        end = started + HANG_S
        for _ in range(10):
            assert_serving(server)
        for name, link in links:
            link.settimeout(max(end - time.monotonic(), 0.01))
            with contextlib.suppress(ConnectionError):
                answer = link.recv(65_536)
                assert all(400 <= status < 500 for status in statuses(answer)), name
        trickling.result()
    assert_serving(server)


def trickle(server: Server) -> None:
    """Send a request a byte at a time until the server has enough."""
    with socket.create_connection(("127.0.0.1", server.port), HANG_S) as link:
        end = time.monotonic() + HANG_S
        with contextlib.suppress(ConnectionError):
            while not cut_off(link):
                assert time.monotonic() < end, "it may go on for ever"
                link.sendall(b"X")
                time.sleep(0.5)


def cut_off(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        link.settimeout(HANG_S)


def test_connections_dropped_in_mid_answer(server):
    batch = request(path="/v1/score/batch", body=json.dumps({"drafts": [DRAFT] * 20}).encode())
    for data in (request(body=BODY), batch, request("GET", "/v1/cues")):
        for read in (0, 0, 1):
            with socket.create_connection(("127.0.0.1", server.port), HANG_S) as link:
                link.sendall(data)
                link.recv(read)
                # A reset, not a goodbye.
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # A batch that nobody waits for any more keeps its permits until it is done, and no longer.
    until = time.monotonic() + HANG_S
    while statuses(send(server, request(body=BODY))) == [503] and time.monotonic() < until:
        time.sleep(0.1)
    assert_serving(server)


MARKER = "zebrafinch"
TEXTS = {
    "text": MARKER,
    "context": {
        "in_reply_to": MARKER,
        "thread": [{"author": "customer", "text": MARKER}],
        "recent_posts": [{"text": MARKER}],
        "channel": MARKER,
    },
    "brand": {"name": MARKER, "about": MARKER, "topics": [MARKER], "audience": MARKER},
}
WRONG = {
    "kind": MARKER, "format": MARKER, "language": MARKER, "offset_encoding": MARKER, "hint_language": MARKER,
    "checks": [MARKER], "policy": MARKER, "gain": MARKER, "deadline_ms": MARKER,
    "context": {"publish_at": MARKER, "thread": [{"author": MARKER, "text": MARKER}],
                "recent_posts": [{"text": MARKER, "published_at": MARKER}]},
}  # fmt: skip


def written(fields: dict, path="/v1/score") -> bytes:
    return request(path=path, body=json.dumps(fields).encode())


MARKED = {
    "a report": written(TEXTS),
    "a batch": written({"drafts": [TEXTS, TEXTS | WRONG]}, "/v1/score/batch"),
    "a rewriting": written(TEXTS, "/v1/rewrite"),
    "wrong fields": written(TEXTS | WRONG),
    "an unknown hint": written(TEXTS | {"apply": [MARKER]}, "/v1/rewrite"),
    "a text that is too long": written({"text": MARKER * 5_000}),
    "a text with a NUL": written({"text": f"{MARKER}\0"}),
    "a list of words": request(body=json.dumps([MARKER]).encode()),
    "a word": request(body=json.dumps(MARKER).encode()),
    "no JSON": request(body=f'{{"text": "{MARKER}'.encode()),
    "no UTF-8": request(body=f'{{"text": "{MARKER}'.encode() + b'\xff"}'),
    "a form": request(body=f"text={MARKER}".encode(), headers=["Content-Type: application/x-www-form-urlencoded"]),
    "a path": request("GET", f"/{MARKER}?{MARKER}={MARKER}"),
    "a method": request(MARKER.upper()),
    "a header": request("GET", "/healthz", headers=[f"X: {MARKER}", f"Accept-Language: {MARKER}"]),
    "an id that is none": request("GET", "/healthz", headers=[f"X-Request-ID: {MARKER} {MARKER}"]),
    "a header that is none": request("GET", "/healthz", headers=[f"{MARKER} {MARKER}"]),
    "a header with a NUL": request("GET", "/healthz", headers=[f"X-{MARKER}: {MARKER}\0"]),
    "a request line that is none": f"{MARKER}\r\n\r\n".encode(),
    "a version that is none": f"GET / {MARKER}\r\n\r\n".encode(),
    "an expectation": request(body=BODY, headers=[f"Expect: {MARKER}"]),
    "a transfer coding": request(body=BODY, headers=[f"Transfer-Encoding: {MARKER}"]),
    "a chunk size": chunked(f"{MARKER}\r\n".encode()),
    "a chunk that is not closed": chunked(b"3\r\nabc", f"{MARKER}\r\n".encode()),
    "a trailer": chunked(chunk(BODY), f"0\r\n{MARKER}\r\n\r\n".encode()),
}


@pytest.mark.parametrize("data", MARKED.values(), ids=MARKED.keys())
def test_no_refusal_repeats_what_a_caller_wrote(server, data):
    answer = send(server, data, no_more=True)
    if statuses(answer) != [200]:
        assert MARKER not in answer.decode("latin-1").lower()


def test_neither_log_nor_metrics_hold_what_a_caller_wrote(server):
    for data in MARKED.values():
        send(server, data, no_more=True)
    assert MARKER not in send(server, request("GET", "/metrics")).decode().lower()
    assert MARKER not in server.log.read_text().lower()


def test_a_killed_worker_is_replaced(server):
    """Only what was inside it is lost."""
    killed_at = 0.0
    before = server.workers()
    with load(server) as sent:
        wait_until(lambda: len(sent) > 4 * CLIENTS)
        killed_at = time.monotonic()
        os.kill(before[0], signal.SIGKILL)
        time.sleep(1)
    lost = [(start, end) for start, end, answer in sent if statuses(answer) != [200]]
    assert all(start < killed_at + 0.1 for start, _ in lost), "a request that came later was lost"
    assert len(lost) <= CLIENTS
    for _ in range(50):
        assert_serving(server)
    wait_until(lambda: len(server.workers()) == len(before))


CLIENTS = 8


@contextlib.contextmanager
def load(server: Server):
    """Clients that send one request after the other: (sent at, answered at, answer) of each; b"" where none came."""
    sent: list[tuple[float, float, bytes]] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            try:
                link = socket.create_connection(("127.0.0.1", server.port), START_S)
            except ConnectionError:  # refused, or reset while it waited to be accepted
                sent.append((time.monotonic(), time.monotonic(), b""))
            else:
                sent.append(exchange(link))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client) for _ in range(CLIENTS)]
        try:
            yield sent
        finally:
            stop.set()
    for each in clients:
        each.result()


def exchange(link: socket.socket) -> tuple[float, float, bytes]:
    answer = b""
    with link:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            link.sendall(request(body=BODY))
            start = time.monotonic()
            while part := link.recv(65_536):
                answer += part
    return start, time.monotonic(), answer


def test_nothing_that_happened_here_was_our_fault(server):
    """Stands behind all that could be: no 500 and no trace."""
    assert 'status="500"' not in send(server, request("GET", "/metrics")).decode()
    assert "Traceback" not in server.log.read_text()


def test_a_stopped_server_finishes_what_it_was_sent(server):
    """Stands last, since nothing is served afterwards."""
    with load(server) as sent:
        wait_until(lambda: len(sent) > 4 * CLIENTS)
        stopped_at = time.monotonic()
        server.process.terminate()
        server.process.wait(START_S)
    assert server.process.returncode == 0
    in_time = [answer for start, _, answer in sent if start < stopped_at]
    assert all(statuses(answer) == [200] for answer in in_time)
    assert "was sent SIG" not in server.log.read_text().rpartition("Handling signal: term")[2]
