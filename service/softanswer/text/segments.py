"""Sentences of a visible text, in English, Arabic and Hebrew punctuation."""

from __future__ import annotations

from collections.abc import Iterator

import regex

from softanswer.domain import Span

# A sentence ends at a line end, or at stops (with closing quotes, brackets and emoji behind them)
# before white space. A full stop inside '3.50', 'a.m' or 'example.com' has no white space behind it.
_END = regex.compile(
    r"\n++|[.!?…؟۔]++(?:[\"'”’»)\]]|\s*+[\p{Extended_Pictographic}\uFE0F\u200D\U0001F3FB-\U0001F3FF])*+(?=\s|$)"
)
_LAST_WORD = regex.compile(r"([^\s(\[“«]+)$")
_TAIL_CHARS = 24


def sentences(visible: str, abbreviations: frozenset[str] = frozenset()) -> tuple[Span, ...]:
    """Split a text into sentences: in order, disjoint, not empty, without white space at their edges.

    `abbreviations` are folded words after which a full stop ends nothing ('mr', 'e.g').
    """
    return tuple(_trimmed(visible, _cuts(visible, abbreviations)))


def _cuts(visible: str, abbreviations: frozenset[str]) -> Iterator[int]:
    for end in _END.finditer(visible):
        if not (end.group() == "." and _abbreviates(visible, end.start(), abbreviations)):
            yield end.end()
    yield len(visible)


def _abbreviates(visible: str, at: int, abbreviations: frozenset[str]) -> bool:
    """Whether the word before a full stop is an abbreviation, an initial or a list number."""
    found = _LAST_WORD.search(visible, max(0, at - _TAIL_CHARS), at)
    if not found:
        return False
    word = found.group(1).lower().replace("״", '"').lstrip("\"'")
    initial = len(word) == 1 and word.isalpha() and found.group(1).isupper() and word != "i"
    number = word.isdecimal() and (found.start() == 0 or visible[found.start() - 1] == "\n")
    return initial or number or word in abbreviations


def _trimmed(visible: str, cuts: Iterator[int]) -> Iterator[Span]:
    start = 0
    for cut in cuts:
        piece = visible[start:cut]
        left = start + len(piece) - len(piece.lstrip())
        right = start + len(piece.rstrip())
        if left < right:
            yield Span(left, right)
        start = cut
