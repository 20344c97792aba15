"""Whether the service keeps its speed and its memory over time: python -m bench.soak --minutes 10."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bench.common import (
    Server,
    body_of,
    good_and_hinted,
    load,
    machine,
    memory_mb,
    percentile,
    request_of,
    service,
    table,
)  # fmt: skip

CALLERS = 16
SHARE = 0.8
_PROBE_S = 5
_EACH_S = 10
_SETTLED_S = 60


@click.command()
@click.option("--minutes", type=click.FloatRange(min=1.2), default=1.3, show_default=True)
def main(minutes: float) -> None:
    """Run at 80 % of capacity; print memory, its drift after the first minute, errors and waits."""
    with service() as server:
        good, hinted = good_and_hinted(server, most=30)
        bodies = [body_of(request_of(row)) for pair in zip(good, hinted, strict=False) for row in pair]
        url = f"{server.url}/v1/score"
        capacity = load(url, bodies, CALLERS, _PROBE_S).per_second
        with _memory(server) as samples:
            met = load(url, bodies, CALLERS, minutes * 60, per_second=SHARE * capacity)
    used = [mb for at_s, mb in samples if at_s >= _SETTLED_S]
    others = sum(count for status, count in met.statuses.items() if status != 200) + met.failed
    lines = [
        ["asked, of capacity", SHARE],
        ["answered, of asked", met.per_second / (SHARE * capacity)],
        ["answers", met.told],
        ["errors, %", 100 * others / max(others + met.statuses[200], 1)],
        ["p50 ms", percentile(met.ms, 50)],
        ["p99 ms", percentile(met.ms, 99)],
        ["memory after a minute, MB", used[0]],
        ["memory at the end, MB", used[-1]],
        ["drift of memory, %", 100 * (used[-1] / used[0] - 1)],
    ]
    print(f"{machine()}\n\n{table(['what', 'value'], lines)}")


@contextmanager
def _memory(server: Server) -> Iterator[list[tuple[float, float]]]:
    """Note (seconds since the start, MB) every ten seconds until the block ends."""
    samples: list[tuple[float, float]] = []
    ended = threading.Event()
    started = time.monotonic()

    def note() -> None:
        while not ended.is_set():
            samples.append((time.monotonic() - started, memory_mb(server)))
            ended.wait(_EACH_S)

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
