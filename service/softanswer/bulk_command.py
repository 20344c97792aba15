"""`softanswer bulk` at the terminal: progress, summary, exit status."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from softanswer.bulk import Job, Outcome, Scoring, run, score_locally
from softanswer.domain import BulkFault
from softanswer.settings import Settings

DONE, SOME_BAD = 0, 3


def run_bulk(source: Path, target: Path, columns: Sequence[str], gain: bool, workers: int, address: str | None) -> int:
    """Score a table and tell what came of it: the exit status. Raises `BulkFault`, `InvalidSettings`."""
    job = Job(source, target, _mapping(columns), gain, Settings.from_environment())
    scoring = _scoring(job.settings, workers, address)
    with tqdm(unit=" drafts", desc=source.name, smoothing=0.05) as bar:

        def begin(rows: int, done: int) -> None:
            bar.reset(rows)
            bar.initial = bar.n = done  # or the rate would count what an earlier run did
            bar.refresh()
            if done:
                click.echo(f"\n{done} of {rows} rows were done before.", err=True)

        try:
            outcome = run(job, scoring, begin, bar.update)
        except KeyboardInterrupt:
            raise BulkFault("Stopped. Run the same command again to go on.") from None
        except BrokenProcessPool:
            raise BulkFault("A process was killed: out of memory? Run the same command again to go on.") from None
    return _tell(job, outcome)


def _mapping(columns: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in columns]
    if wrong := [text for text, (_, _, column) in zip(columns, pairs, strict=True) if not column]:
        raise click.BadParameter(f"{wrong[0]} is not FIELD=COLUMN.", param_hint="--column")
    return {name: column for name, _, column in pairs}


def _scoring(settings: Settings, workers: int, address: str | None) -> Scoring:
    if address is None:
        return partial(score_locally, settings=settings, workers=workers)
    try:
        from softanswer.bulk_ray import score_on_ray
    except ImportError as error:
        raise BulkFault("--ray needs Ray: pip install 'softanswer[ray]'.") from error
    return partial(score_on_ray, settings=settings, workers=workers, address=address)


def _tell(job: Job, outcome: Outcome) -> int:
    for line in outcome.summary.as_lines():
        click.echo(line)
    click.echo(f"{outcome.scored} drafts scored: {job.target}, {job.beside('summary.html')}")
    if not outcome.bad:
        return DONE
    click.echo(f"{outcome.bad} bad rows: {job.beside('bad.jsonl')}", err=True)
    return SOME_BAD
