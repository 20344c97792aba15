"""How cost grows with what a request holds and with the number of cues: python -m bench.growth.

Cost is processor time of one process with the whole application in it, so that what else the
machine does counts little.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import matplotlib
import yaml
from flask.testing import FlaskClient
from matplotlib.figure import Figure

from bench.common import Row, exponent, machine, posts, replies, request_of, table
from softanswer.app import build_pipeline, create_app
from softanswer.cues.files import CUE_FILES, ROOT, load_languages
from softanswer.cues.matching import Matcher, all_foldings
from softanswer.pipeline import Pipeline
from softanswer.settings import Settings

DRAWING = Path(__file__).with_name("growth.svg")
CHARS = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
DRAFTS = (1, 2, 4, 8, 16, 32, 64, 128)
COPIES = (1, 3, 10)
RECENT = (0, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class Growth:
    """What one kind of thing costs: milliseconds at each size."""

    of: str
    sizes: Sequence[int]
    ms: Sequence[float]


@click.command()
@click.option("--full", is_flag=True, help="The best of twenty runs at each size instead of three.")
def main(full: bool) -> None:
    """Print the exponent k of cost ~ size^k for each, and draw bench/growth.svg."""
    runs = 20 if full else 3
    pipeline = build_pipeline(Settings(log_level="warning"))
    client = _client(pipeline)
    found = [
        Growth("characters of a draft", CHARS, [_cost(client, body, runs) for body in _long_drafts(gain=False)]),
        Growth("the same, gains measured", CHARS, [_cost(client, body, runs) for body in _long_drafts(gain=True)]),
        Growth("drafts of a batch", DRAFTS, [_cost(client, body, runs) for body in _batches()]),
        Growth("recent posts", RECENT, [_cost(client, body, runs) for body in _with_recent_posts()]),
        *_cues(pipeline, runs),
    ]
    lines = [
        [g.of, f"{g.sizes[0]} to {g.sizes[-1]}", g.sizes[-1] / max(g.sizes[0], 1), g.ms[-1] / g.ms[0],
         exponent(g.sizes, g.ms)]
        for g in found
    ]  # fmt: skip
    print(f"{machine()}\n")
    print(table(["what grows", "from, to", "times as much", "times the cost", "k"], lines))
    draw(found)


# --- what is asked -----------------------------------------------------------------------------


def _long_drafts(gain: bool) -> Iterator[tuple[str, Row]]:
    """A defensive reply and good ones behind it, cut to each length, under one complaint.

    The hints are those of the opening at every length, since each edit is a draft more to score.
    """
    rows = [row for row in replies() if row["lang"] == "en"]
    opening = max(rows, key=lambda row: row["def"])
    text = " ".join(row["text"] for row in [opening, *(row for row in rows * 9 if row["def"] == 0)])
    for chars in CHARS:
        yield "/v1/score", request_of(opening | {"text": text[:chars]}) | {"gain": gain}


def _batches() -> Iterator[tuple[str, Row]]:
    # The same drafts several times over: texts of their own would cost what they happen to cost.
    drafts = [request_of(row) for row in replies()[:4]]
    for count in DRAFTS:
        yield "/v1/score/batch", {"drafts": (drafts * count)[:count]}


def _with_recent_posts() -> Iterator[tuple[str, Row]]:
    draft, *recent = posts()[: RECENT[-1] + 1]
    for count in RECENT:
        yield "/v1/score", {"text": draft, "context": {"recent_posts": [{"text": text} for text in recent[:count]]}}


def _client(pipeline: Pipeline) -> FlaskClient:
    return create_app(Settings(log_level="warning"), pipeline).test_client()


def _cost(client: FlaskClient, asked: tuple[str, Row], runs: int) -> float:
    path, body = asked

    def call() -> None:
        response = client.post(path, json=body)
        if response.status_code != 200:
            raise click.ClickException(f"{path} answers {response.status_code}: {response.text[:200]}")

    return best_ms(call, runs)


def best_ms(call: Callable[[], Any], runs: int) -> float:
    """The least processor time that a call takes, in ms: what is above it is the machine's."""
    took = []
    for _ in range(runs):
        started = time.process_time()
        call()
        took.append(time.process_time() - started)
    return min(took) * 1000


# --- cues --------------------------------------------------------------------------------------


def _cues(pipeline: Pipeline, runs: int) -> list[Growth]:
    """What matching alone and a whole answer cost with each cue several times over."""
    drafts = [request_of(row) for row in replies()[:30]]
    matching, whole = [], []
    for copies in COPIES:
        with tempfile.TemporaryDirectory() as folder:
            larger = _with_copies(pipeline, copies, Path(folder))
        english = larger.matchers["en"]
        text = " ".join(draft["text"] for draft in drafts)
        matching.append(best_ms(lambda matcher=english, text=text: matcher.find(text, "reply"), runs))
        whole.append(_cost(_client(larger), ("/v1/score/batch", {"drafts": drafts}), runs))
    return [Growth("cues, matching alone", COPIES, matching), Growth("cues, whole answers", COPIES, whole)]


def _with_copies(pipeline: Pipeline, copies: int, folder: Path) -> Pipeline:
    """A pipeline whose language files hold every cue so many times, each under an id of its own."""
    shutil.copytree(ROOT, folder, dirs_exist_ok=True)
    for path in (path for path in folder.glob("*/*.yaml") if path.stem in CUE_FILES):
        # As nodes, since a set may be called `no`, which is false to a loader.
        first, *others = (yaml.compose(path.read_bytes(), Loader=yaml.CSafeLoader) for _ in range(copies))
        for n, other in enumerate(others, 1):
            for cue in _of(other, "cues").value:
                _of(cue, "id").value += f"_{n}"
            _of(first, "cues").value += _of(other, "cues").value
        path.write_text(yaml.serialize(first, Dumper=yaml.CSafeDumper, allow_unicode=True), encoding="utf8")
    languages = load_languages(folder)
    foldings = all_foldings(languages.values())
    matchers = {tag: Matcher(language, foldings) for tag, language in languages.items()}
    return replace(pipeline, languages=languages, matchers=matchers)


def _of(mapping: yaml.MappingNode, key: str) -> Any:
    return next(value for name, value in mapping.value if name.value == key)


# --- the drawing -------------------------------------------------------------------------------


def draw(found: Sequence[Growth]) -> None:
    """Draw each growth on logarithmic axes, a straight line of slope 1 beside it."""
    figure = Figure(figsize=(3 * len(found), 3), layout="constrained")
    for axes, growth in zip(figure.subplots(1, len(found)), found, strict=True):
        sizes, ms = zip(*((s, m) for s, m in zip(growth.sizes, growth.ms, strict=True) if s), strict=True)
        axes.loglog(sizes, ms, marker="o", label="measured")
        axes.loglog(sizes, [ms[-1] * size / sizes[-1] for size in sizes], linestyle=":", color="grey", label="linear")
        axes.set_xlabel(growth.of)
        axes.set_title(f"k = {exponent(growth.sizes, growth.ms):.2f}")
    figure.axes[0].set_ylabel("processor time, ms")
    figure.axes[0].legend()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text, and can be searched
        figure.savefig(DRAWING)


if __name__ == "__main__":
    main()
