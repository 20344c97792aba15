"""Tables of drafts: JSONL, CSV and Parquet, read row by row and written with the reports beside each row.

What a row means is `bulk`'s business; here a row is a mapping, or the reason why it is none.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pyarrow
import pyarrow.parquet
import regex

from softanswer.domain import CHECKS, BulkFault

_SURROGATE = regex.compile(r"[\ud800-\udfff]")
# Rows that are read from, and written to, a Parquet file at a time.
_BATCH_ROWS = 1024
PREFIX = "softanswer."  # of our columns
# A cell that begins so is a formula to a spreadsheet, which may call out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_OUR_COLUMNS = (
    ("row", pyarrow.int64()),
    ("verdict", pyarrow.string()),
    ("language", pyarrow.string()),
    ("kind", pyarrow.string()),
    *((name, pyarrow.float64()) for name in CHECKS),
    ("cues", pyarrow.list_(pyarrow.string())),
    ("hints", pyarrow.list_(pyarrow.string())),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; `number` is its line in JSONL, else counts from 1.

    `fault` says why the row cannot be read; `values` then holds what there is of it.
    """

    number: int
    values: Mapping[str, Any]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows: how many, and which columns they have; `schema` is Parquet's own."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    schema: pyarrow.Schema | None = field(default=None, compare=False)


Scored = tuple[Row, Mapping[str, Any]]  # a row and its report, as the API gives it


def kind_of(path: Path) -> str:
    """Tell the kind of a table by its name: jsonl, csv or parquet. Raises `BulkFault`."""
    kind = {".ndjson": "jsonl"}.get(path.suffix.lower(), path.suffix.lower().removeprefix("."))
    if kind not in _READERS:
        raise BulkFault(f"{path.name}: the name must end in .jsonl, .ndjson, .csv or .parquet.")
    return kind


def open_table(path: Path) -> Table:
    """Read a table once through. Raises `BulkFault` where it is none."""
    kind, rows, columns = kind_of(path), 0, dict[str, None]()
    for row in read_rows(path):
        rows += 1
        if not row.fault:
            columns |= dict.fromkeys(row.values)
    schema = pyarrow.parquet.read_schema(path) if kind == "parquet" else None
    return Table(path, rows, tuple(columns if schema is None else schema.names), schema)


def read_rows(path: Path) -> Iterator[Row]:
    """Read a table row by row. Raises `BulkFault` where the file cannot be read at all."""
    try:
        yield from _READERS[kind_of(path)](path)
    except (OSError, pyarrow.ArrowException) as error:
        raise BulkFault(f"{path} cannot be read: {error}") from error


# --- reading -------------------------------------------------------------------------------


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _of_line(number, line)


def _of_line(number: int, line: bytes) -> Row:
    raw = {"line": line.decode("utf8", "backslashreplace").rstrip("\r\n")}
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Row(number, raw, f"Not UTF-8: byte {error.start}.")
    except (ValueError, RecursionError):  # or a number of thousands of digits, or nested too deep
        return Row(number, raw, "Not JSON.")
    return Row(number, values) if isinstance(values, dict) else Row(number, raw, "Not an object.")


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # how long a text may be is a setting, and told with the row
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        raw: list[str] = []  # the lines of the record that is being read
        records = csv.reader(_noted(file, raw), strict=True)
        try:
            header = next(records, [])
        except csv.Error as error:
            raise BulkFault(f"{path.name}: the header is not CSV: {error}.") from error
        if len(set(header)) < len(header):
            raise BulkFault(f"{path.name}: two columns have the same name.")
        number = 0
        while True:
            number += 1
            raw.clear()
            try:
                cells = next(records)
            except StopIteration:
                return
            except csv.Error as error:
                if str(error) == "unexpected end of data":  # all rows from there on would be lost in one cell
                    opened = records.line_num - _lines_of_last_cell(raw) + 1
                    raise BulkFault(f"{path.name}: the quote that opens at line {opened} is not closed.") from error
                line = "".join(raw).rstrip("\r\n")
                yield Row(number, {"line": line}, f"Not CSV, at line {records.line_num}: {error}.")
                continue
            if cells:
                yield _of_cells(number, header, cells)


def _noted(lines: Iterable[str], seen: list[str]) -> Iterator[str]:
    for line in lines:
        seen.append(line)
        yield line


def _lines_of_last_cell(raw: Sequence[str]) -> int:
    (cells,) = csv.reader(raw)  # not strict: the end closes the quote
    return sum(1 for _ in io.StringIO('"' + cells[-1], newline=""))


def _of_cells(number: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    values = dict(zip(header, cells, strict=False))
    if len(cells) != len(header):
        return Row(number, {"cells": list(cells)}, f"{len(cells)} cells, where the header has {len(header)}.")
    if any(map(_SURROGATE.search, cells)):
        return Row(number, values, "Not UTF-8.")
    return Row(number, values)


def _read_parquet(path: Path) -> Iterator[Row]:
    number = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for values in batch.to_pylist():
                number += 1
                yield Row(number, values)


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "parquet": _read_parquet,
}


# --- writing -------------------------------------------------------------------------------


def to_json(value: Any) -> str:
    """Make JSON; dates and the like are written as text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def write_table(path: Path, kind: str, table: Table, scored: Iterable[Scored]) -> None:
    """Write the rows of a table with their reports, in whole as JSONL and flat as CSV or Parquet."""
    _WRITERS[kind](path, table, scored)


def to_lines(path: Path) -> TextIO:
    """Open a file to write JSONL to. Half a surrogate pair becomes the escape that JSON has for it."""
    return path.open("w", encoding="utf8", errors="backslashreplace")


def write_line(file: TextIO, value: Any) -> None:
    """Write a line of JSONL."""
    file.write(f"{to_json(value)}\n")


def _write_jsonl(path: Path, table: Table, scored: Iterable[Scored]) -> None:
    with to_lines(path) as file:
        for row, report in scored:
            write_line(file, {"row": row.number, "input": row.values, "report": report})


def _write_csv(path: Path, table: Table, scored: Iterable[Scored]) -> None:
    theirs = _cell if kind_of(table.path) == "csv" else _inert_cell
    with path.open("w", encoding="utf8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*map(theirs, table.columns), *(PREFIX + name for name, _ in _OUR_COLUMNS)])
        for row, report in scored:
            ours = [" ; ".join(v) if isinstance(v, list) else v for v in flatten(row, report).values()]
            writer.writerow([*(theirs(row.values.get(name)) for name in table.columns), *ours])


def _write_parquet(path: Path, table: Table, scored: Iterable[Scored]) -> None:
    theirs = table.schema or pyarrow.schema([(name, pyarrow.string()) for name in table.columns])
    schema = pyarrow.schema([*theirs, *((PREFIX + name, kind) for name, kind in _OUR_COLUMNS)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row, report in scored:
            values = row.values if table.schema else {n: _cell(row.values.get(n)) for n in table.columns}
            batch.append({**values, **{PREFIX + name: value for name, value in flatten(row, report).items()}})
            if len(batch) == _BATCH_ROWS:
                writer.write_table(pyarrow.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pyarrow.Table.from_pylist(batch, schema))


_WRITERS: Mapping[str, Callable[[Path, Table, Iterable[Scored]], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def flatten(row: Row, report: Mapping[str, Any]) -> dict[str, Any]:
    """Make the columns of ours, without their prefix; None for a score that could not be made."""
    scores = report["scores"]
    return {
        "row": row.number,
        "verdict": report["verdict"]["action"],
        "language": report["language"]["tag"],
        "kind": report["kind"],
        **{name: scores.get(name, {}).get("value") for name in CHECKS},
        "cues": sorted(cues_of(report)),
        "hints": [hint["message"] for hint in report["hints"]],
    }


def cues_of(report: Mapping[str, Any]) -> set[str]:
    """The cues that a report's scores and hints rest on."""
    evidence = (e["cue"] for score in report["scores"].values() for e in score["evidence"])
    return {*evidence, *(hint["cue"] for hint in report["hints"])}


def _cell(value: Any) -> str | None:
    """Make the text of a cell; what is no text is written as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else to_json(value)
    return text.encode("utf8", "backslashreplace").decode()


def _inert_cell(value: Any) -> str | None:
    """Make a cell that no spreadsheet takes for a formula."""
    cell = _cell(value)
    return f"'{cell}" if isinstance(value, str) and value.startswith(_FORMULA) else cell
