"""Replays what the fuzzer (bench/fuzz.py) has found, and the texts that it starts from."""

from pathlib import Path

import pytest

from bench.invariants import check, decode
from softanswer.text import read_text

CORPUS = sorted((Path(__file__).parent / "fuzz_corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_span_lies_in_the_text(path):
    check(decode(path.read_bytes()))


def test_the_corpus_stays_small():
    assert len(CORPUS) < 100
    assert sum(path.stat().st_size for path in CORPUS) < 200_000


@pytest.mark.parametrize(
    "hostile", [">\nc >- a.|\n> " * 1_500, ">\rc >- a.|\r> " * 1_500, "![![](" * 3_300], ids=["quotes", "CR", "images"]
)
def test_markdown_that_is_made_to_be_slow_is_read_as_it_stands(hostile):
    assert read_text(hostile, "markdown").visible == hostile


@pytest.mark.parametrize("depth", [25, 90])
def test_text_in_many_quotes_is_read(depth):
    assert read_text("> " * depth + "sorry", "markdown").visible == "sorry"
