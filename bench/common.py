"""What the measurements share: texts, the running service, its callers, figures and tables."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import click
import numpy as np

from training.common import LANGUAGES, read_corpus

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
WORKERS = 2

Row = dict[str, Any]

_START_S = 180
_LOAD = os.getloadavg()[0]  # of before: a measurement is a load itself
_SEED = 7
_HINTS = 5
_SEPARATOR = b"\x1e"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs: its address and the process that leads its session."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Load:
    """What callers met with in some seconds: status codes, and the milliseconds of every 200."""

    seconds: float
    statuses: Counter[int]
    ms: tuple[float, ...]
    failed: int  # connections that broke or timed out

    @property
    def per_second(self) -> float:
        return self.statuses[200] / self.seconds

    @property
    def told(self) -> str:
        """The status codes for a table, such as '200: 950, 503: 12'."""
        codes = [f"{status}: {count}" for status, count in sorted(self.statuses.items())]
        return ", ".join([*codes, f"failed: {self.failed}"] if self.failed else codes)


# --- servers ---------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def service(**settings: str) -> Iterator[Server]:
    """Run `softanswer serve` until the block ends; `settings` as the environment names them."""
    port = free_port()
    env = {"SOFTANSWER_PORT": str(port), "SOFTANSWER_WORKERS": str(WORKERS), "SOFTANSWER_LOG_LEVEL": "warning"}
    env |= settings
    with running("softanswer", [sys.executable, "-m", "softanswer.cli", "serve"], port, "/readyz", env) as server:
        yield server


@contextmanager
def running(
    name: str, command: Sequence[str], port: int, ready: str = "", env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a command until the block ends; its output goes to build/bench/NAME.log.

    It is ready when `ready` answers 200, or when the port is open where no path is given.
    Raises `click.ClickException` where it does not get there.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | dict(env or {}), stdout=log, stderr=log, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", process.pid)
    try:
        _wait(name, process, server, ready)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(name: str, process: subprocess.Popen[bytes], server: Server, ready: str) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        if _answers(server, ready):
            return
        time.sleep(0.1)
    raise click.ClickException(f"{name} does not start; see build/bench/{name}.log.")


def _answers(server: Server, ready: str) -> bool:
    try:
        if ready:
            urllib.request.urlopen(server.url + ready, timeout=5).close()
        else:
            socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5).close()
    except OSError:
        return False
    return True


def memory_mb(server: Server) -> float:
    """The memory of a server's processes, pages that they share counted once (PSS), in MB."""
    total_kb = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and os.getsid(int(folder.name)) == server.pid:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total_kb += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it ended while we looked
            continue
    return total_kb * 1024 / 1e6


# --- callers ---------------------------------------------------------------------------------


def body_of(content: Row) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def load(
    url: str,
    bodies: Sequence[bytes],
    callers: int,
    seconds: float,
    per_second: float | None = None,
    content_type: str = "application/json",
) -> Load:
    """POST bodies in turn for some seconds, each caller on a connection of its own.

    A caller sends its next body when it has its answer, or at its share of `per_second`. The
    callers are wrk's, in C: they take some 1 % of what answering takes.
    """
    if not shutil.which("wrk"):
        raise click.ClickException("The callers are wrk's: apt-get install wrk.")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bodies").write_bytes(_SEPARATOR.join(bodies))
        notes = Path(folder) / "notes"
        notes.mkdir()
        # Callers begin far from each other, so that none sends what another sent just before.
        apart = str(max(len(bodies) // callers, 1))
        env = {"BODIES": f"{folder}/bodies", "NOTES": str(notes), "CONTENT_TYPE": content_type, "APART": apart}
        if per_second:
            env["PAUSE_S"] = str(callers / per_second)
        script = str(Path(__file__).with_name("load.lua"))
        options = ["-t", str(callers), "-c", str(callers), "-d", f"{round(seconds)}s", "--timeout", "30s"]
        done = subprocess.run(
            ["wrk", *options, "-s", script, url], env=os.environ | env, check=True, capture_output=True, text=True
        )
        lines = [line.split() for path in notes.iterdir() for line in path.read_text().splitlines()]
    failed = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("failed "))
    statuses = Counter(int(status) for status, _ in lines)
    return Load(round(seconds), statuses, tuple(float(ms) for status, ms in lines if status == "200"), failed)


def post(url: str, body: bytes, content_type: str = "application/json") -> bytes:
    """POST once and read the answer. Raises OSError where it is refused."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=120) as response:
        return bytes(response.read())


def ask(url: str, body: Row) -> Row:
    return dict(json.loads(post(url, body_of(body))))


# --- texts -----------------------------------------------------------------------------------


def replies() -> list[Row]:
    """Replies of the corpus of about 40 words, with the message they answer, the three languages in turn."""
    rows = [r for r in read_corpus() if r.get("customer") and 32 <= len(r["text"].split()) <= 48]
    random.Random(_SEED).shuffle(rows)
    by_tag = [[row for row in rows if row["lang"] == tag] for tag in LANGUAGES]
    return [row for some in zip(*by_tag, strict=False) for row in some]


def posts() -> list[str]:
    """Posts of the corpus, in English."""
    return [r["text"] for r in read_corpus() if r["kind"] == "post" and r["lang"] == "en"]


def request_of(row: Row) -> Row:
    """A corpus reply as a client sends it: its language is not told."""
    return {"text": row["text"], "context": {"in_reply_to": row["customer"]}}


def as_typed(rows: Sequence[Row], count: int) -> list[Row]:
    """`count` states of drafts at work, the rows in turn: each lacks one to three words, and none is there twice.

    What a client sends while someone types: the message stays, the draft is new each time. Fewer where none is left.
    """
    states: dict[str, Row] = {}
    for state in chain.from_iterable(zip(*map(_lacking, rows), strict=False)):
        states[state["text"]] = state
        if len(states) == count:
            break
    return list(states.values())


def _lacking(row: Row) -> Iterator[Row]:
    words = row["text"].split()
    for lost in (lost for most in (1, 2, 3) for lost in combinations(range(len(words)), most)):
        yield row | {"text": " ".join(word for at, word in enumerate(words) if at not in lost)}


def good_and_hinted(server: Server, most: int = 60) -> tuple[list[Row], list[Row]]:
    """Replies to which the service has nothing to say, and those with five hints or more and gains measured."""
    good: list[Row] = []
    hinted: list[Row] = []
    for row in replies():
        hints = ask(f"{server.url}/v1/score", request_of(row))["hints"]
        if not hints:
            good.append(row)
        elif len(hints) >= _HINTS and any(hint["gain"] for hint in hints):
            hinted.append(row)
        if len(good) >= most and len(hinted) >= most:
            break
    return good[:most], hinted[:most]


# --- figures and tables ----------------------------------------------------------------------


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest of the values that q per cent do not exceed; NaN where there are none."""
    return float(np.percentile(values, q, method="inverted_cdf")) if len(values) else float("nan")


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The k of cost ~ size^k over the upper half of the sizes, where what each call costs anyway weighs least."""
    half = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[half:]), np.log(costs[half:]), 1)
    return float(slope)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers get three digits that count."""
    lines = [headings, ["---"] * len(headings), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if np.isnan(value) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """What this is measured on, and whether something else has its cores."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(": ")[2] for line in cpus if line.startswith("model name")), "unknown processor")
    told = f"{name}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, {time.strftime('%Y-%m-%d')}"
    return f"{told}\n\n**Not to be trusted: the machine was busy (load {_LOAD:.1f}).**" if _LOAD > 0.5 else told
