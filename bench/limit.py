"""How much of the bare encoder's speed the service reaches, and how long callers wait: python -m bench.limit."""

from __future__ import annotations

import multiprocessing
import time
from threading import Barrier

import click

from bench.common import (
    WORKERS,
    Load,
    Row,
    as_typed,
    body_of,
    good_and_hinted,
    load,
    machine,
    percentile,
    request_of,
    service,
    table,
)
from softanswer.encoder.model import Model

CALLERS = (1, 4, 16, 64)
# What the service remembers decides what it has to encode. A client that scores a draft while it is typed sends the
# same message each time; without a cache all is encoded, as for drafts that have nothing in common.
STATES = {"as typed": {}, "all new": {"SOFTANSWER_CACHE_BYTES": "0"}}
# As many different drafts as no service gets through in the time; each number of callers has its own.
_DRAFTS_PER_SECOND = 500


@click.command()
@click.option("--full", is_flag=True, help="Half a minute a line instead of four seconds.")
def main(full: bool) -> None:
    """Hold the service against its own encoder, with 1 to 64 callers."""
    seconds = 30 if full else 4
    with service() as server:
        kinds = dict(zip(("good", "five hints"), good_and_hinted(server), strict=True))
    each = _DRAFTS_PER_SECOND * seconds
    drafts = {kind: as_typed(rows, each * len(CALLERS)) for kind, rows in kinds.items()}
    bare = {kind: encoder_rate(rows[:each], seconds) for kind, rows in drafts.items()}
    lines = []
    for state, settings in STATES.items():
        with service(**settings) as server:
            for kind, rows in drafts.items():
                for n, callers in enumerate(CALLERS):
                    bodies = [body_of(request_of(row)) for row in rows[n * each : (n + 1) * each]]
                    met = load(f"{server.url}/v1/score", bodies, callers, seconds)
                    share = met.per_second / bare[kind]
                    lines.append([kind, state, callers, met.per_second, share, *_waits(met), met.told])
    print(f"{machine()}\n")
    rates = " and ".join(f"{rate:.0f} of the {kind}" for kind, rate in bare.items())
    print(f"Drafts a second that {WORKERS} processes encode, each with its message, and do nothing else: {rates}.\n")
    headings = ["drafts", "texts", "callers", "drafts/s", "of the encoder", "p50 ms", "p95 ms", "p99 ms", "answers"]
    print(table(headings, lines))


def _waits(met: Load) -> list[float]:
    return [percentile(met.ms, q) for q in (50, 95, 99)]


def encoder_rate(rows: list[Row], seconds: float) -> float:
    """How many drafts a second, each with its message, processes encode that do nothing else."""
    context = multiprocessing.get_context("spawn")
    pairs = [(row["text"], row["customer"]) for row in rows]
    with context.Manager() as manager, context.Pool(WORKERS) as pool:
        barrier = manager.Barrier(WORKERS)
        return sum(pool.starmap(_encode, [(pairs, seconds, barrier)] * WORKERS, chunksize=1))


def _encode(pairs: list[tuple[str, str]], seconds: float, barrier: Barrier) -> float:
    model = Model.load()
    barrier.wait()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        model.encode(pairs[count % len(pairs)])
        count += 1
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
