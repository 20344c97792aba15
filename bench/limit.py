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


@click.command()
@click.option("--full", is_flag=True, help="Half a minute a line instead of four seconds.")
def main(full: bool) -> None:
    """Hold the service against its own encoder, with 1 to 64 callers."""
    seconds = 30 if full else 4
    lines = []
    with service() as server:
        groups = zip(("nothing to hint at", "hints with gains"), good_and_hinted(server), strict=True)
        for name, rows in groups:
            bare = encoder_rate(rows, seconds)
            lines.append([name, f"bare encoder, {WORKERS} processes", bare, 1.0])
            for callers in CALLERS:
                met = load(f"{server.url}/v1/score", [body_of(request_of(row)) for row in rows], callers, seconds)
                lines.append([name, callers, met.per_second, met.per_second / bare, *_waits(met), met.told])
    print(f"{machine()}\n")
    headings = ["drafts", "callers", "drafts/s", "of the encoder", "p50 ms", "p95 ms", "p99 ms", "answers"]
    print(table(headings, [line + [""] * (len(headings) - len(line)) for line in lines]))


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
