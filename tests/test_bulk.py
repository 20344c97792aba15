import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from softanswer.bulk import Job, Scorer, run
from softanswer.bulk_summary import Summary
from softanswer.cli import main
from softanswer.domain import BulkFault
from softanswer.settings import Settings

REPLY = "We are sorry if you feel that way, but our records show it left the oven hot. You should have called sooner."
COMPLAINT = "Waited 40 minutes for a cold pizza,\nand nobody picked up the phone."
POST = "Fresh bread every morning, from seven."


@pytest.fixture
def scoring(app):
    """Score in this process."""
    scorer = Scorer(app)
    return lambda chunks: map(scorer.score, chunks)


@pytest.fixture
def bulk(scoring):
    """Run a job in this process: bulk(source, target, {'text': 'body'})."""

    def begun(rows, done):
        assert done <= rows

    return lambda source, target, columns=(): run(
        Job(source, target, dict(columns)), scoring, begun, lambda count: None
    )


@pytest.fixture
def invoke(monkeypatch, scoring):
    monkeypatch.setattr("softanswer.bulk_command._scoring", lambda *args: scoring)
    return lambda *args: CliRunner().invoke(main, ["bulk", *map(str, args)])


def write_lines(path: Path, *rows) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf8")
    return path


def read_lines(path: Path) -> list:
    return [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]


# --- formats ---------------------------------------------------------------------------------


def test_jsonl_keeps_each_row_with_its_report(bulk, tmp_path):
    source = write_lines(
        tmp_path / "in.jsonl",
        {"id": 7, "text": REPLY, "context": {"in_reply_to": "It broke!"}, "brand": {"name": "Oven"}},
        "",
        {"id": 8, "text": POST},
    )
    outcome = bulk(source, tmp_path / "out.jsonl")
    first, second = read_lines(tmp_path / "out.jsonl")
    assert (outcome.scored, outcome.bad) == (2, 0)
    assert (first["row"], first["input"]["id"], first["report"]["kind"]) == (1, 7, "reply")
    assert (second["row"], second["input"]["id"], second["report"]["kind"]) == (3, 8, "post")
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl", "out.jsonl.summary.html"}


def test_csv_columns_are_mapped(bulk, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text(
        f'id,body,complaint,themes\n1,"{REPLY}","{COMPLAINT}",\n2,"{POST}",,bread; cakes\n', encoding="utf-8-sig"
    )
    columns = {"text": "body", "context.in_reply_to": "complaint", "brand.topics": "themes"}
    bulk(source, tmp_path / "out.csv", columns)
    with (tmp_path / "out.csv").open(encoding="utf8", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["complaint"] == COMPLAINT
    assert (first["softanswer.kind"], first["softanswer.verdict"]) == ("reply", "revise")
    assert "defensiveness.non_apology.if" in first["softanswer.cues"].split(" ; ")
    assert float(second["softanswer.relevance"]) > 0.3


def test_a_cell_may_hold_a_thread_as_json(bulk, tmp_path):
    thread = json.dumps([{"author": "brand", "text": REPLY}, {"author": "customer", "text": "No!"}])
    source = tmp_path / "in.csv"
    with source.open("w", encoding="utf8", newline="") as file:
        csv.writer(file).writerows([["text", "context.thread"], [REPLY, thread], [REPLY, ""], [REPLY, "no JSON"]])
    outcome = bulk(source, tmp_path / "out.jsonl", {})
    assert (outcome.scored, outcome.bad) == (2, 1)
    first, second = read_lines(tmp_path / "out.jsonl")
    hints = [{h["cue"] for h in row["report"]["hints"]} for row in (first, second)]
    assert "relevance.template.repeated" in hints[0] - hints[1]


def test_parquet_keeps_the_types_of_its_columns(bulk, tmp_path):
    when = datetime(2026, 11, 26, 9, tzinfo=UTC)
    rows = [{"id": n, "text": f"{POST} {n}", "context": {"publish_at": when}} for n in range(3)]
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
    bulk(tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert out.select(table.column_names).equals(table)
    assert out["softanswer.row"].to_pylist() == [1, 2, 3]
    assert out["softanswer.spam"].null_count == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_objects_become_json_in_a_flat_table(bulk, tmp_path, ending):
    source = write_lines(tmp_path / "in.jsonl", {"text": POST, "tags": ["\ud800"], "n": None}, {"text": POST, "n": 4})
    bulk(source, tmp_path / f"out.{ending}")
    if ending == "parquet":
        rows = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    else:
        with (tmp_path / "out.csv").open(encoding="utf8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert [(row["tags"] or None, row["n"] or None) for row in rows] == [('["\\ud800"]', None), (None, "4")]


@pytest.mark.parametrize(
    "text, cell",
    [
        pytest.param('=HYPERLINK("https://a.example")', '\'=HYPERLINK("https://a.example")', id="a formula"),
        pytest.param("+1 for the soup", "'+1 for the soup", id="a plus"),
        pytest.param("-- Anna", "'-- Anna", id="a dash"),
        pytest.param("@anna thank you", "'@anna thank you", id="a handle"),
        pytest.param("\t=1+1", "'\t=1+1", id="a tab"),
        pytest.param("\r=1+1", "'\r=1+1", id="a carriage return"),
        pytest.param("1 = 1", "1 = 1", id="a sign further on"),
        pytest.param(-4, "-4", id="a number is none"),
    ],
)
def test_a_text_is_no_formula_in_a_new_csv(bulk, tmp_path, text, cell):
    bulk(write_lines(tmp_path / "in.jsonl", {"text": POST, "=note": text}), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf8", newline="") as file:
        assert next(csv.DictReader(file))["'=note"] == cell


def test_csv_made_of_csv_keeps_its_cells(bulk, tmp_path):
    (tmp_path / "in.csv").write_text(f'text,note\n"{POST}",=1+1\n', encoding="utf8")
    bulk(tmp_path / "in.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf8", newline="") as file:
        assert next(csv.DictReader(file))["note"] == "=1+1"


def test_no_rows_make_an_empty_table(bulk, tmp_path):
    for ending in ("jsonl", "csv", "parquet"):
        source = write_lines(tmp_path / f"in.{ending}.jsonl")
        assert bulk(source, tmp_path / f"out.{ending}").scored == 0


# --- bad rows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, pointer, reason",
    [
        pytest.param(b'{"text": ""}', "/text", "Must not be empty.", id="an empty text"),
        pytest.param(b'{"txt": "hi"}', "/text", "Field may not be null.", id="no text"),
        pytest.param(b'{"text": 5}', "/text", "Not a valid string.", id="a number"),
        pytest.param(b'{"text": "hi", "kind": "tweet"}', "/kind", "Must be one of: reply, post.", id="an unknown kind"),
        pytest.param(b'{"text": "a\\ud800"}', "/text", "Holds half a surrogate pair at 1.", id="half a surrogate pair"),
        pytest.param(b'{"text": "hi"', "", "Not JSON.", id="a line that was cut off"),
        pytest.param(b"[" * 100_000, "", "Not JSON.", id="nested too deep"),
        pytest.param(b'["hi"]', "", "Not an object.", id="a list"),
        pytest.param(b'{"text": "caf\xe9"}', "", "Not UTF-8: byte 13.", id="Latin 1"),
    ],
)
def test_a_bad_line_is_put_aside_and_spares_the_others(bulk, tmp_path, line, pointer, reason):
    source = tmp_path / "in.jsonl"
    source.write_bytes(b'{"text": "Thank you."}\n' + line + b'\n{"text": "Thank you."}')
    outcome = bulk(source, tmp_path / "out.jsonl")
    (bad,) = read_lines(tmp_path / "out.jsonl.bad.jsonl")
    assert (outcome.scored, bad["row"], bad["errors"]) == (2, 2, {pointer: reason})
    assert [row["row"] for row in read_lines(tmp_path / "out.jsonl")] == [1, 3]


@pytest.mark.parametrize(
    "line, reason, kept",
    [
        pytest.param(b"1,2,3", "3 cells, where the header has 2.", {"cells": ["1", "2", "3"]}, id="too many cells"),
        pytest.param(b"1", "1 cells, where the header has 2.", {"cells": ["1"]}, id="too few"),
        pytest.param(b"1,caf\xe9", "Not UTF-8.", {"id": "1", "text": "caf\udce9"}, id="Latin 1"),
        pytest.param(
            b'1,"a"b', "Not CSV, at line 3: ',' expected after '\"'.", {"line": '1,"a"b'}, id="a quote astray"
        ),
        pytest.param(
            b'1,"a\n2,"b"', "Not CSV, at line 4: ',' expected after '\"'.", {"line": '1,"a\n2,"b"'}, id="over two lines"
        ),
    ],
)
def test_a_bad_record_is_put_aside(bulk, tmp_path, line, reason, kept):
    source = tmp_path / "in.csv"
    source.write_bytes(b"id,text\n1,Thank you.\n" + line + b"\n3,Thank you.\n")
    outcome = bulk(source, tmp_path / "out.csv")
    (bad,) = read_lines(tmp_path / "out.csv.bad.jsonl")
    assert (outcome.scored, bad) == (2, {"row": 2, "errors": {"": reason}, "input": kept})


@pytest.mark.parametrize(
    "table, told",
    [
        pytest.param('"id,text\n1,hi\n', "in.csv: the header is not CSV: unexpected end of data.", id="in the header"),
        pytest.param('"id"s,text\n1,hi\n', "in.csv: the header is not CSV: ',' expected", id="a header cut up"),
        pytest.param('id,text\n1,hi\n2,"hi\n3,hi\n', "the quote that opens at line 3 is", id="a row"),
        pytest.param('id,text\n1,hi\n2,"hi\n3,hi', "the quote that opens at line 3 is", id="no end of line"),
        pytest.param('id,text\r\n"1\r\n1","hi\r\n3,hi\r\n', "the quote that opens at line 3 is", id="below its row"),
        pytest.param('id,text\n1,hi\n2,"', "the quote that opens at line 3 is", id="the last sign"),
    ],
)
def test_a_quote_that_hides_rows_stops_the_run_at_the_start(bulk, tmp_path, table, told):
    (tmp_path / "in.csv").write_text(table, encoding="utf8", newline="")
    with pytest.raises(BulkFault, match=told):
        bulk(tmp_path / "in.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_bad_rows_of_an_earlier_run_do_not_stay(bulk, tmp_path):
    source, target = write_lines(tmp_path / "in.jsonl", {"text": POST}, "nonsense"), tmp_path / "out.jsonl"
    assert bulk(source, target).bad == 1
    target.unlink()
    assert bulk(write_lines(source, {"text": POST}), target).bad == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl", "out.jsonl.summary.html"}


def test_bad_rows_are_written_as_they_come(bulk, tmp_path, monkeypatch):
    """And not gathered: there may be as many as rows."""
    noted = []

    def write(path, kind, table, scored):
        noted.extend(row.number for row, _ in scored)
        path.touch()

    monkeypatch.setattr("softanswer.bulk.write_table", write)
    monkeypatch.setattr("softanswer.bulk.write_line", lambda file, value: noted.append(value["row"]))
    bulk(write_lines(tmp_path / "in.jsonl", {"text": POST}, "nonsense", {"text": POST}), tmp_path / "out.jsonl")
    assert noted == [1, 2, 3]


def test_a_row_that_we_fail_on_costs_only_itself(app, tmp_path, monkeypatch):
    def fail(report, versions):
        raise ZeroDivisionError(REPLY)

    monkeypatch.setattr("softanswer.bulk.render", fail)
    (_, outcomes) = Scorer(app).score((0, json.dumps([{"text": REPLY}])))
    assert json.loads(outcomes) == [{"errors": {"": "It could not be scored: ZeroDivisionError."}}]


# --- the command -----------------------------------------------------------------------------


def test_the_command_tells_what_it_did_and_exits_with_0(invoke, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", {"text": REPLY, "to": COMPLAINT, "brand": {"name": "Oven & Co"}})
    result = invoke(source, "-o", tmp_path / "out.jsonl", "--column", "context.in_reply_to=to")
    assert result.exit_code == 0, result.output
    for part in (
        "all: 1 drafts: 0 publish, 1 revise, 0 hold",
        "en: 1",
        "Oven & Co: 1",
        "row 1  revise",
        "1 drafts scored",
    ):
        assert part in result.output
    page = (tmp_path / "out.jsonl.summary.html").read_text(encoding="utf8")
    for part in ("Oven &amp; Co", "The worst drafts", REPLY, "defensiveness.non_apology.if"):
        assert part in page


def test_bad_rows_make_it_exit_with_3(invoke, tmp_path):
    result = invoke(write_lines(tmp_path / "in.jsonl", {"text": POST}, "nonsense"), "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 3
    assert "1 bad rows" in result.output


@pytest.mark.parametrize(
    "name, arguments, status, told",
    [
        pytest.param("in.txt", ["-o", "out.csv"], 1, "the name must end in", id="an unknown kind of input"),
        pytest.param("in.jsonl", ["-o", "out.doc"], 1, "the name must end in", id="an unknown kind of output"),
        pytest.param("in.parquet", ["-o", "out.csv"], 1, "cannot be read", id="no Parquet"),
        pytest.param("in.jsonl", ["-o", "out.csv", "--column", "text"], 2, "not FIELD=COLUMN", id="half a mapping"),
        pytest.param("in.jsonl", ["-o", "out.csv", "--column", "txt=a"], 1, "no field txt", id="an unknown field"),
        pytest.param("in.jsonl", ["-o", "out.csv", "--column", "text=b"], 1, "no column b", id="an unknown column"),
        pytest.param("in.jsonl", ["-o", "out.csv"], 1, "no column text", id="nothing to score"),
        pytest.param("in.jsonl", ["-o", "in.jsonl"], 1, "is there already", id="an output that is there"),
    ],
)
def test_what_cannot_be_done_is_told(invoke, tmp_path, monkeypatch, name, arguments, status, told):
    monkeypatch.chdir(tmp_path)
    result = invoke(write_lines(tmp_path / name, {"a": POST}), *arguments)
    assert (result.exit_code, told in result.output) == (status, True), result.output


# --- stopping and going on -------------------------------------------------------------------


def test_a_run_of_something_else_is_not_gone_on_with(scoring, tmp_path):
    def stopping(chunks):
        yield from scoring(chunks)
        raise OSError("no space left")

    job = Job(write_lines(tmp_path / "in.jsonl", {"text": POST}), tmp_path / "out.jsonl")
    with pytest.raises(BulkFault, match="no space left"):
        run(job, stopping, lambda rows, done: None, lambda count: None)
    with pytest.raises(BulkFault, match="of another run"):
        run(replace(job, gain=True), scoring, lambda rows, done: None, lambda count: None)
    assert not job.target.exists()
    told = []
    run(job, scoring, lambda *counts: told.append(counts), lambda count: None)
    assert told == [(1, 1)]


@pytest.mark.parametrize(
    "name, text",
    [
        pytest.param("heads.npz", "2", id="heads of the same size"),
        pytest.param("calibration/en/calibration.yaml", "", id="a calibration more"),
    ],
)
def test_a_model_that_has_changed_is_another_run(tmp_path, name, text):
    model = tmp_path / "model"
    (model / "calibration" / "en").mkdir(parents=True)
    (model / "heads.npz").write_text("1")
    job = Job(
        write_lines(tmp_path / "in.jsonl", {"text": POST}), tmp_path / "out.jsonl", settings=Settings(model=model)
    )
    before = job.identity
    assert job.identity == before
    (model / name).write_text(text)
    assert job.identity != before


def test_what_decides_a_score_decides_whose_run_it_is(tmp_path, monkeypatch):
    job = Job(write_lines(tmp_path / "in.jsonl", {"text": POST}), tmp_path / "out.jsonl")
    package = tmp_path / "softanswer"
    package.mkdir()
    write_lines(package / "spam.yaml", "a: 1")
    monkeypatch.setattr("softanswer.bulk.__file__", str(package / "bulk.py"))
    told = [job.identity]
    write_lines(package / "spam.yaml", "a: 2")
    told.append(job.identity)
    limits = ("max_chars", "max_thread", "max_recent_posts", "max_topics")
    told += [replace(job, settings=Settings(**{limit: 7})).identity for limit in limits]
    assert len(set(told)) == len(told)
    assert replace(job, settings=Settings(port=7)).identity == told[1]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_table_that_was_scored_before_is_refused(bulk, tmp_path, ending):
    source = write_lines(tmp_path / "in.jsonl", {"text": POST, "softanswer.row": 1})
    with pytest.raises(BulkFault, match=r"has columns softanswer\.\* of an earlier run"):
        bulk(source, tmp_path / f"out.{ending}")


def test_two_runs_at_once_are_refused(scoring, tmp_path):
    job = Job(write_lines(tmp_path / "in.jsonl", {"text": POST}), tmp_path / "out.jsonl")

    def meanwhile(chunks):
        with pytest.raises(BulkFault, match="Another run"):
            run(job, scoring, lambda rows, done: None, lambda count: None)
        return scoring(chunks)

    assert run(job, meanwhile, lambda rows, done: None, lambda count: None).scored == 1


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "softanswer.cli", "bulk", *map(str, arguments)]
    # What a shell starts in the background ignores ^C, and so would what it starts.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heed)


def wait_for_chunks(process: subprocess.Popen, progress: Path, chunks: int) -> None:
    """Wait until a run has written so many chunks."""
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        if progress.exists() and progress.stat().st_size:
            db = sqlite3.connect(f"{progress.as_uri()}?mode=ro", uri=True)
            try:
                if db.execute("SELECT count(*) FROM chunks").fetchone()[0] >= chunks:
                    return
            except sqlite3.OperationalError:  # no table yet, or it is being written
                pass
            finally:
                db.close()
        time.sleep(0.02)
    raise AssertionError("the run came to nothing")


def many(path: Path, rows: int) -> Path:
    return write_lines(path, *({"id": n, "text": f"We are open until {n}."} for n in range(rows)))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_or_stopped_goes_on_where_it_was(tmp_path, ending):
    source, target = many(tmp_path / "in.jsonl", 4000), tmp_path / "out.jsonl"
    process = start(source, "-o", target, "--workers", 2)
    wait_for_chunks(process, tmp_path / "out.jsonl.progress", 2)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, ending)
    _, errors = process.communicate()
    assert process.returncode == (1 if ending == signal.SIGINT else -ending), errors
    assert "Traceback" not in errors
    assert not target.exists()
    assert not psutil.wait_procs(children, timeout=30)[1]  # the processes of the pool end too
    again = start(source, "-o", target, "--workers", 2)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "of 4000 rows were done before." in errors
    assert [row["input"]["id"] for row in read_lines(target)] == list(range(4000))
    assert not (tmp_path / "out.jsonl.progress").exists()


def test_ray_goes_on_where_one_of_two_workers_is_killed(tmp_path):
    source, target = many(tmp_path / "in.jsonl", 2000), tmp_path / "out.jsonl"
    process = start(source, "-o", target, "--workers", 2, "--ray", "local")
    wait_for_chunks(process, tmp_path / "out.jsonl.progress", 2)
    family = psutil.Process(process.pid).children(recursive=True)
    actors = [p for p in family if "_ScoringActor" in " ".join(p.cmdline())]
    assert len(actors) == 2, [p.cmdline() for p in family]
    actors[0].kill()
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert [row["input"]["id"] for row in read_lines(target)] == list(range(2000))


# --- the summary -----------------------------------------------------------------------------


def report(action: str = "publish", value: float = 0.5) -> dict:
    return {
        "language": {"tag": "en"}, "verdict": {"action": action}, "hints": [],
        "scores": {"spam": {"value": value, "evidence": []}},
    }  # fmt: skip


def test_the_worst_drafts_are_held_ones_first():
    summary = Summary()
    for row, (action, value) in enumerate([("publish", 0.9), ("revise", 0.95), ("hold", 0.3), ("revise", 0.8)]):
        summary.add(row, report(action, value), "text " * 100, "")
    assert [worst.row for worst in summary.worst] == [2, 1, 3]
    assert summary.whole.bins["spam"] == [0, 0, 0, 1, 0, 0, 0, 0, 1, 2]
    assert summary.worst[0].text.endswith("…")


def test_nothing_quoted_can_steer_a_terminal():
    summary = Summary()
    summary.add(1, report("hold"), "go \x1b]0;away\x07 \u202enow\u2069 \x9b2J", "Oven\x1b[2J\r\u200f & Co")
    lines = list(summary.as_lines())
    assert "Oven[2J & Co: 1 drafts: 0 publish, 0 revise, 1 hold" in lines
    assert lines[-1] == "  row 1  hold  \u2068go ]0;away now 2J\u2069"


def test_brands_beyond_some_thousands_are_counted_together(monkeypatch):
    monkeypatch.setattr("softanswer.bulk_summary._MAX_BRAND_GROUPS", 2)
    summary = Summary()
    for row, brand in enumerate(["Oven", "Soup", "Pie", "Oven", "Cake", ""]):
        summary.add(row, report(), "text", brand)
    assert {name: group.total for name, group in summary.brands.items()} == {"Oven": 2, "Soup": 1, "others": 2}
