"""Code-point positions -> the offsets that a client counts in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from softanswer.domain import OffsetEncoding


def convert(source: str, positions: Sequence[int], encoding: OffsetEncoding) -> list[int]:
    """Convert code-point positions of a text to UTF-16 units or UTF-8 bytes.

    A lone surrogate counts one unit in UTF-16 and three bytes in UTF-8 (as in WTF-8), which is
    what an editor that holds one counts too.
    """
    if encoding == "code-point" or source.isascii() or not positions:
        return list(positions)
    width = _utf16_units if encoding == "utf-16" else _utf8_bytes
    before = list(accumulate(map(width, source), initial=0))
    return [before[p] for p in positions]


def _utf16_units(char: str) -> int:
    return 2 if char > "\uffff" else 1


def _utf8_bytes(char: str) -> int:
    return 1 if char < "\x80" else 2 if char < "\u0800" else 3 if char <= "\uffff" else 4
