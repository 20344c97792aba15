"""Chunks scored on a Ray cluster, through Ray Data. Needs the extra `softanswer[ray]`, there and here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, from_items
from ray.exceptions import RayError

from softanswer.bulk import Chunk, Scorer
from softanswer.domain import BulkFault
from softanswer.encoder import BUNDLED
from softanswer.settings import Settings

# Chunks that are handed over at a time: some 260,000 drafts, a few hundred megabytes.
_WINDOW_CHUNKS = 4096


class _ScoringActor:
    """One actor, with a model of its own; Ray starts it again, and its chunk, where it dies.

    The bundled model lies where the actor's node has it.
    """

    def __init__(self, settings: Settings, bundled: bool) -> None:
        self._scorer = Scorer.load(replace(settings, model=BUNDLED) if bundled else settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, outcomes = self._scorer.score((row["number"], row["bodies"]))
        return {"number": number, "outcomes": outcomes}


def score_on_ray(chunks: Iterator[Chunk], settings: Settings, workers: int, address: str) -> Iterator[Chunk]:
    """Score chunks on the cluster at `address` ('auto', 'local', 'ray://HOST:PORT'); its nodes need not see the files.

    Raises ConnectionError where there is no cluster, `BulkFault` where it fails.
    """
    ray.init(address, log_to_driver=False, logging_level="warning")
    try:
        DataContext.get_current().enable_progress_bars = False
        while window := [{"number": n, "bodies": b} for n, b in islice(chunks, _WINDOW_CHUNKS)]:
            scored = from_items(window, override_num_blocks=len(window)).map(
                _ScoringActor,
                fn_constructor_args=(settings, settings.model == BUNDLED),
                compute=ActorPoolStrategy(size=workers),
                num_cpus=1,
            )
            yield from ((row["number"], row["outcomes"]) for row in scored.iter_rows())
    except RayError as error:
        raise BulkFault(f"Ray failed: {type(error).__name__}. Run the same command again to go on.") from error
    finally:
        ray.shutdown()
