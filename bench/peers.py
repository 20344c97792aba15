"""The same texts through what else one could run: python -m bench.peers [--data FOLDER]."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from bench import quality
from bench.common import Load, Row, as_typed, machine, percentile, replies, request_of, service, table
from bench.services import CALLERS, PEERS, Missing, Peer, post_load

_WARM_UP_S = 2
# More than any of them gets through, so that none meets a text twice.
_TEXTS_PER_SECOND = 1_000


@click.command()
@click.option("--full", is_flag=True, help="Twenty seconds a service instead of four, and whole sets.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="A folder of labelled sets (JSONL).")
def main(full: bool, data: Path | None) -> None:
    """Hold the service against its peers: speed on one corpus, quality on labelled sets."""
    seconds = 20 if full else 4
    rows = as_typed(replies()[:120], _TEXTS_PER_SECOND * (seconds + _WARM_UP_S))
    speed: list[tuple[Peer, Load]] = []
    judged: dict[str, quality.Values] = {}
    sets = quality.read_sets(data, None if full else 60) if data else {}
    with service() as server:
        url = f"{server.url}/v1/score"
        ours = Peer("softanswer", "four scores, hints, gains, verdict", post_load(url, request_of))
        speed.append((ours, _warm_load(ours, rows, seconds)))
        judged[ours.name] = quality.ours(url, sets)
    with service(SOFTANSWER_CACHE_BYTES="0") as server:
        uncached = Peer("softanswer without its cache", ours.does, post_load(f"{server.url}/v1/score", request_of))
        speed.append((uncached, _warm_load(uncached, rows, seconds)))
    for start in PEERS:
        try:
            with start() as peer:
                speed.append((peer, _warm_load(peer, rows, seconds)))
                judged[peer.name] = _judge(peer, sets)
        except (Missing, click.ClickException) as reason:
            print(f"Skipped: {start.__name__}. {reason}\n")
    print(f"{machine()}\n\n{_speed_table(speed)}")
    limits = {peer.name: peer.spam_limit for peer, _ in speed}
    for name, lines in quality.compare(sets, judged, limits).items():
        print(f"\n{name}\n\n{lines}")


def _warm_load(peer: Peer, rows: Sequence[Row], seconds: float) -> Load:
    first = _TEXTS_PER_SECOND * _WARM_UP_S
    peer.load(rows[:first], _WARM_UP_S)
    return peer.load(rows[first:], seconds)


def _speed_table(speed: Sequence[tuple[Peer, Load]]) -> str:
    ours = speed[0][1]
    lines = [
        [p.name, p.does, met.per_second, met.per_second / ours.per_second, percentile(met.ms, 50),
         percentile(met.ms, 99), percentile(met.ms, 50) / percentile(ours.ms, 50), met.told]
        for p, met in speed
    ]  # fmt: skip
    speeds, waits = ["texts/s", "speed, ours = 1"], ["p50 ms", "p99 ms", "p50, ours = 1"]
    return table(["service", "what it answers", *speeds, *waits, "answers"], lines)


def _judge(peer: Peer, sets: quality.Sets) -> quality.Values:
    """What a peer says of each text of the sets that it is for."""
    values: quality.Values = {}
    with ThreadPoolExecutor(CALLERS) as pool:
        for name, rows in sets.items():
            judge = peer.spam if name in quality.SPAM_SETS else peer.tone
            if judge:
                values[name] = list(pool.map(judge, [row["text"] for row in rows]))
    return values


if __name__ == "__main__":
    main()
