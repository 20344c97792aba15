"""Many drafts: a table in, a table with reports out, on local processes or on a Ray cluster.

The rows are scored in chunks. What is done stands in a SQLite file beside the output, one
transaction a chunk, so that a run that was killed goes on where it was: no row is lost, none
comes twice. The output is written from it at the end, in the order of the input.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, TextIO

import marshmallow
from flask import Flask

from softanswer import __version__
from softanswer.api.problems import pointers
from softanswer.api.render import render
from softanswer.api.schemas import DraftSchema
from softanswer.bulk_summary import Summary
from softanswer.bulk_tables import (
    PREFIX,
    Row,
    Scored,
    Table,
    kind_of,
    open_table,
    read_rows,
    to_json,
    to_lines,
    write_line,
    write_table,
)
from softanswer.domain import BulkFault
from softanswer.pipeline import Pipeline
from softanswer.settings import Settings

# What a table may say of a draft, by column; a dot leads into a column that holds an object.
FIELDS = (
    "text", "kind", "format", "language", "hint_language", "policy",
    "context.in_reply_to", "context.thread", "context.recent_posts", "context.publish_at", "context.channel",
    "brand.name", "brand.about", "brand.topics", "brand.audience",
)  # fmt: skip

# What a cell of a table without lists holds as JSON.
_LISTS = ("context.thread", "context.recent_posts")

# The settings that decide which texts are scored.
_LIMITS = ("max_chars", "max_thread", "max_recent_posts", "max_topics")

# What a kill may cost each process, some two seconds of work.
_CHUNK_ROWS = 64
# So that no process waits for the next one to be read.
_CHUNKS_AHEAD = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS job (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (number INTEGER PRIMARY KEY, outcomes TEXT NOT NULL, rows INTEGER NOT NULL);
"""

Chunk = tuple[int, str]  # its number; the bodies of drafts, or what it came to, as JSON
Scoring = Callable[[Iterator[Chunk]], Iterator[Chunk]]  # chunks of bodies -> chunks of outcomes, in any order


@dataclass(frozen=True, slots=True)
class Job:
    """What to score, and where to write it. `columns` maps a field of a draft to its column."""

    source: Path
    target: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    gain: bool = False
    settings: Settings = field(default_factory=Settings)

    def beside(self, ending: str) -> Path:
        """A file beside the output."""
        return self.target.with_name(f"{self.target.name}.{ending}")

    @property
    def identity(self) -> str:
        """What must be the same for a run to go on where another stopped."""
        stat = self.source.stat()
        told = [str(self.source.resolve()), stat.st_size, stat.st_mtime_ns, sorted(self.columns.items()), self.gain]
        limits = [getattr(self.settings, name) for name in _LIMITS]
        return json.dumps([*told, *limits, _digest(self.settings.model), __version__, _CHUNK_ROWS])


def _digest(model: Path) -> str:
    """Make a digest of a model's folder and of our cues, calibrations and policies.

    Of what they hold, since heads that are trained anew have the size of the old: 0.1 s, where loading takes seconds.
    """
    digest = hashlib.sha256()
    files = [path for path in model.rglob("*") if path.is_file()]
    for path in sorted([*files, *Path(__file__).parent.rglob("*.yaml")]):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: rows scored, and bad rows, which stand in the side file."""

    scored: int
    bad: int
    summary: Summary


def run(job: Job, scoring: Scoring, begin: Callable[[int, int], None], advance: Callable[[int], None]) -> Outcome:
    """Score a table, going on where an earlier run stopped, and write everything.

    `begin` is told how many rows there are and how many are done, `advance` how many more are.
    Raises `BulkFault`.
    """
    kind_of(job.target)
    progress_file = job.beside("progress")
    if job.target.exists() and not progress_file.exists():
        raise BulkFault(f"{job.target} is there already; take it away first.")
    table = open_table(job.source)
    _check_columns(job, table)
    with _opened(progress_file) as progress:
        _check_identity(job, progress)
        done = dict(progress.execute("SELECT number, rows FROM chunks").fetchall())
        begin(table.rows, sum(done.values()))
        for number, outcomes in scoring(_waiting(job, done)):
            count = len(json.loads(outcomes))
            # Where a cluster does a chunk twice, the first outcome counts.
            with progress:
                progress.execute("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?)", (number, outcomes, count))
            advance(count)
        outcome = _write(job, table, progress)
        progress_file.unlink()
    return outcome


def _check_columns(job: Job, table: Table) -> None:
    for name, column in job.columns.items():
        if name not in FIELDS:
            raise BulkFault(f"A draft has no field {name}; there are {', '.join(FIELDS)}.")
        if column not in table.columns and column.partition(".")[0] not in table.columns:
            raise BulkFault(f"{job.source.name} has no column {column}.")
    if table.columns and "text" not in table.columns and "text" not in job.columns:
        raise BulkFault(f"{job.source.name} has no column text; name the one that is it with --column text=NAME.")
    if any(column.startswith(PREFIX) for column in table.columns):
        raise BulkFault(f"{job.source.name} has columns {PREFIX}* of an earlier run; take them out or rename them.")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file of what is done, for this process alone. Raises `BulkFault`, also for what stops the run."""
    try:
        # SQLite's own locks would keep other programs from looking how far a run is.
        with path.open("ab") as held, closing(sqlite3.connect(path)) as db:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BulkFault(f"Another run is writing to {path}.") from None
            db.executescript(_TABLES)
            yield db
    except (OSError, sqlite3.Error) as error:
        raise BulkFault(f"The run stopped: {error}. Run the same command again to go on.") from error


def _check_identity(job: Job, progress: sqlite3.Connection) -> None:
    with progress:
        begun = progress.execute("SELECT identity FROM job").fetchone()
        if begun is None:
            progress.execute("INSERT INTO job VALUES (?)", (job.identity,))
        elif begun[0] != job.identity:
            raise BulkFault(
                f"{job.beside('progress')} is of another run: the input, an option, a limit, the model, "
                "the cues or the version has changed since. Take it away to begin anew."
            )


# --- rows to drafts ------------------------------------------------------------------------


def _chunks(rows: Iterable[Row]) -> Iterator[tuple[int, list[Row]]]:
    left, number = iter(rows), 0
    while chunk := list(islice(left, _CHUNK_ROWS)):
        yield number, chunk
        number += 1


def _waiting(job: Job, done: Mapping[int, int]) -> Iterator[Chunk]:
    """The chunks that are not done. Raises `BulkFault`."""
    for number, rows in _chunks(read_rows(job.source)):
        if number not in done:
            yield number, to_json([None if row.fault else _body(row.values, job) for row in rows])


def _body(values: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Make the body of a request of a row. An empty cell says nothing."""
    body: dict[str, Any] = {"gain": job.gain, "context": {}, "brand": {}}
    for name in FIELDS:
        value = _look_up(values, job.columns.get(name, name))
        if name == "brand.topics" and isinstance(value, str):
            value = [topic.strip() for topic in value.split(";") if topic.strip()]
        elif name in _LISTS and isinstance(value, str) and value:
            value = _from_json(value)
        if value not in (None, "") or name == "text":
            part, _, leaf = name.rpartition(".")
            (body[part] if part else body)[leaf] = value
    return body


def _from_json(cell: str) -> Any:
    """What a cell holds as JSON; what is none is left, for the schema to refuse."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _look_up(values: Mapping[str, Any], column: str) -> Any:
    if column in values:
        return values[column]
    outer, _, inner = column.partition(".")
    held = values.get(outer)
    return _look_up(held, inner) if inner and isinstance(held, Mapping) else None


# --- scoring -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scores chunks in one process: the application, for its schemas and its pipeline."""

    app: Flask

    @classmethod
    def load(cls, settings: Settings) -> Scorer:
        """Load the model, which takes seconds."""
        from softanswer.app import create_app

        # Nobody calls this application from outside.
        return cls(create_app(replace(settings, keys=None, rate_limit=None)))

    def score(self, chunk: Chunk) -> Chunk:
        """Score the drafts of a chunk: a report for each, or what is wrong with it by JSON pointer."""
        number, bodies = chunk
        with self.app.app_context():
            return number, to_json([None if body is None else self._score(body) for body in json.loads(bodies)])

    def _score(self, body: dict[str, Any]) -> dict[str, Any]:
        pipeline: Pipeline = self.app.extensions["softanswer.pipeline"]
        try:
            draft = DraftSchema().load(body)
            return {"report": render(pipeline.run([draft])[0], pipeline.versions)}
        except marshmallow.ValidationError as error:
            return {"errors": pointers(error.normalized_messages())}
        except Exception as error:  # one draft that we fail on must not cost a night's run
            return {"errors": {"": f"It could not be scored: {type(error).__name__}."}}


_scorer: Scorer  # of this process, where it is one of a pool


def score_locally(chunks: Iterator[Chunk], settings: Settings, workers: int) -> Iterator[Chunk]:
    """Score chunks in processes on this machine. Raises `BrokenProcessPool` where one of them is killed."""
    # Not forked: what onnxruntime and torch hold does not outlive that.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (settings,))
    try:
        running: set[Future[Chunk]] = set()
        for chunk in chunks:
            running.add(pool.submit(_score_chunk, chunk))
            if len(running) >= workers * _CHUNKS_AHEAD:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(settings: Settings) -> None:
    global _scorer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _scorer = Scorer.load(settings)


def _end_with_parent() -> None:
    """A pool's process waits for ever where its parent was killed."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _score_chunk(chunk: Chunk) -> Chunk:
    return _scorer.score(chunk)


# --- writing -------------------------------------------------------------------------------


def _write(job: Job, table: Table, progress: sqlite3.Connection) -> Outcome:
    """Write bad rows, summary and output; each appears in whole or not at all, the output last."""
    summary, bad = Summary(), 0

    def scored(aside: TextIO) -> Iterator[Scored]:
        nonlocal bad
        for row, outcome in _joined(job, progress):
            if outcome and "report" in outcome:
                brand = _look_up(row.values, job.columns.get("brand.name", "brand.name"))
                text = _look_up(row.values, job.columns.get("text", "text"))
                summary.add(row.number, outcome["report"], str(text), str(brand or ""))
                yield row, outcome["report"]
            else:
                errors = outcome["errors"] if outcome else {"": row.fault}
                write_line(aside, {"row": row.number, "errors": errors, "input": row.values})
                bad += 1

    part, bad_part, bad_rows = job.beside("part"), job.beside("bad.part"), job.beside("bad.jsonl")
    with to_lines(bad_part) as aside:
        write_table(part, kind_of(job.target), table, scored(aside))
    if bad:
        bad_part.replace(bad_rows)
    else:
        bad_part.unlink()
        bad_rows.unlink(missing_ok=True)  # of an earlier run to the same output
    job.beside("summary.html").write_text(summary.as_html(job.source.name, bad), encoding="utf8")
    part.replace(job.target)
    return Outcome(summary.total, bad, summary)


def _joined(job: Job, progress: sqlite3.Connection) -> Iterator[tuple[Row, dict[str, Any] | None]]:
    """The rows of the input, each with its outcome, None for one that could not be read."""
    done = progress.execute("SELECT outcomes FROM chunks ORDER BY number")
    for (_, rows), (outcomes,) in zip(_chunks(read_rows(job.source)), done, strict=True):
        yield from zip(rows, json.loads(outcomes), strict=True)
