"""Folding: spelling differences that mean nothing are made one. Lengths and offsets are kept.

`fold` maps one character to one character; `strip_marks` says what it dropped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain

_QUOTES = dict.fromkeys("’‘‛ʼ`´′＇׳", "'") | dict.fromkeys("“”„‟″«»＂״", '"')
_STOPS = {"،": ",", "؛": ";", "؟": "?", "۔": ".", "…": "."}
_DASHES = dict.fromkeys("‐‑‒–—―−־﹘﹣－", "-")

_SIGNS = _QUOTES | _STOPS | _DASHES


def _simple(char: str) -> str:
    """The folded form of one character, one character long."""
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    if char in _SIGNS:
        return _SIGNS[char]
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char != "\n" and char.isspace():
        return " "
    base = unicodedata.normalize("NFKC", char)
    base = base if len(base) == 1 else char
    if unicodedata.name(base, "").startswith("LATIN"):
        base = unicodedata.normalize("NFD", base)[0]
    lower = base.lower()
    return lower if len(lower) == 1 else base


class _Table(dict[int, str]):
    """For `str.translate`: filled as characters are met, since all of Unicode would take a second at each start."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _simple(chr(code))
        return folded


@lru_cache(maxsize=8)
def _with(foldings: tuple[tuple[str, str], ...]) -> _Table:
    return _Table({ord(k): v for k, v in foldings})


def fold(visible: str, table: Mapping[str, str]) -> str:
    """Fold a text; the result is as long as the text."""
    return visible.translate(_with(tuple(table.items())))


@lru_cache(maxsize=1)
def _dropped() -> frozenset[str]:
    # The planes between hold nothing but ideographs, or nothing.
    codes = chain(range(0x20000), range(0xE0000, 0xF0000))
    return frozenset(chr(c) for c in codes if unicodedata.category(chr(c)) in ("Mn", "Cf") or c == 0x640)


def strip_marks(folded: str) -> tuple[str, tuple[int, ...] | None]:
    """Drop combining marks, format characters and tatweel; say where what is left stood."""
    dropped = _dropped()
    if dropped.isdisjoint(folded):
        return folded, None
    kept = [i for i, c in enumerate(folded) if c not in dropped]
    return "".join([folded[i] for i in kept]), tuple(kept)
