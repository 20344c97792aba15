"""What must hold for any text whatever; the fuzzer and the tests both ask it."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import get_args

from softanswer.cues.files import load_languages
from softanswer.cues.matching import Matcher, all_foldings
from softanswer.domain import Format, OffsetEncoding, Span, Text
from softanswer.text import read_text
from softanswer.text.offsets import convert

FORMATS: tuple[Format, ...] = get_args(Format)
FULL_CHARS = 20_000
MAX_COST_S = 0.25

_CODECS: Mapping[OffsetEncoding, tuple[str, int]] = {
    "utf-16": ("utf-16-le", 2),
    "code-point": ("utf-32-le", 4),
    "utf-8": ("utf-8", 1),
}


@functools.cache
def matchers() -> tuple[Matcher, ...]:
    """The cues of all languages, compiled."""
    languages = load_languages().values()
    foldings = all_foldings(languages)
    return tuple(Matcher(language, foldings) for language in languages)


def decode(data: bytes) -> str:
    """Read any bytes as a text; what is not UTF-8 becomes halves of surrogate pairs."""
    return data.decode("utf-8", "surrogateescape")


def check(source: str) -> None:
    """Read a text in every format and match all cues in it. Raises `AssertionError` for a wrong span."""
    for form in FORMATS:
        text = read_text(source, form)
        spans = [*text.sentences]
        for found in (text.entities.links, text.entities.mentions, text.entities.hashtags, text.entities.emoji):
            assert all(a.end <= b.start for a, b in pairwise(found)), "entities overlap"
            spans += found
        for matcher in matchers():
            spans += [match.span for match in matcher.find(text.visible, "reply")]
        _check_spans(text, spans)


def _check_spans(text: Text, spans: list[Span]) -> None:
    size = len(text.source)
    places = []
    for span in spans:
        assert 0 <= span.start < span.end <= len(text.visible), "a span is out of the visible text"
        start, end = text.in_source(span)
        assert 0 <= start <= end <= size, "a span is out of the source"
        places += [start, end]
    for at in range(len(text.visible) + 1):
        insertion = text.in_source(Span(at, at))
        assert 0 <= insertion.start == insertion.end <= size, "an insertion is out of the source"
    for encoding, (codec, unit) in _CODECS.items():
        for at, offset in zip(places, convert(text.source, places, encoding), strict=True):
            assert offset * unit == len(text.source[:at].encode(codec, "surrogatepass")), f"{encoding} is off"


def cost(source: str, format: Format) -> float:
    """Seconds of processor time to read and match a text that is repeated to `FULL_CHARS` characters.

    The least of up to three tries, since what disturbs a measurement only ever adds to it.
    """
    full = (source * (FULL_CHARS // len(source) + 1))[:FULL_CHARS]
    least = float("inf")
    for _ in range(3):
        started = time.thread_time()
        visible = read_text(full, format).visible
        for matcher in matchers():
            matcher.find(visible, "reply")
        least = min(least, time.thread_time() - started)
        if least < MAX_COST_S:
            break
    return least
