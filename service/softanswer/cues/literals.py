"""What a text must hold for a pattern to be in it, so that most patterns need not be searched for at all.

Each pattern has a set of strings one of which is in every phrase that it matches; all of them are looked for at once
(Aho & Corasick 1975), and only the patterns of those that are found are run. RE2's FilteredRE2 does the same.
Strings and texts are compared as `plain` makes them: letters and single spaces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from ahocorasick_rs import BytesAhoCorasick

# More strings than that are not multiplied out; then the rarer side of a sequence stands for it.
_MOST_EXACT = 48
# By how much each character makes a string rarer in a text: about one in twelve letters is a given one.
_RARER = 12.0
_LETTER = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz") | frozenset(range(0x80, 0xFF))
_PLAIN = bytes(code if code in _LETTER else 0x20 for code in range(256))


def plain(encoded: bytes) -> bytes:
    """A text of a `CodePage` as its words, one space before and behind each."""
    return b" %s " % b" ".join(encoded.translate(_PLAIN).split())


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of the strings that a part of a pattern matches, as `plain` makes them.

    `start` holds all that their beginnings can be, `end` all that their ends can be; `whole`: these are all that the
    strings can be. One of `inner` is in each of them, where there are some.
    """

    start: frozenset[bytes]
    end: frozenset[bytes]
    whole: bool = False
    inner: frozenset[bytes] = frozenset()

    def __add__(self, other: Held) -> Held:
        """What is known of one part and another behind it."""
        if len(self.end) * len(other.start) > _MOST_EXACT:
            inner = _rarest(self.inner, self.end, other.start, other.inner)
            return Held(self.start, other.end, False, inner)
        joint = frozenset(_joined(a, b) for a, b in product(self.end, other.start))
        return Held(
            joint if self.whole else self.start,
            joint if other.whole else other.end,
            self.whole and other.whole,
            frozenset() if self.whole and other.whole else _rarest(self.inner, joint, other.inner),
        )

    def or_nothing(self) -> Held:
        """What is known where the part may be missing."""
        return exactly(self.start | NOTHING.start) if self.whole else ANYTHING

    def needed(self) -> frozenset[bytes]:
        """Strings one of which is in each of the part's; none where nothing is known."""
        return _rarest(self.inner, self.start, self.end)


def exactly(strings: frozenset[bytes]) -> Held:
    return Held(strings, strings, whole=True)


NOTHING = exactly(frozenset({b""}))
ANYTHING = Held(NOTHING.start, NOTHING.end)


def literal(text: str) -> Held:
    """Letters as they stand in a pattern."""
    return exactly(frozenset({_single_spaced(text.encode("latin-1").translate(_PLAIN))}))


def one_of(parts: Sequence[Held]) -> Held:
    """What is known where any of some parts stands."""
    if len(parts) == 1:
        return parts[0]
    if all(part.whole for part in parts):
        return exactly(frozenset().union(*(part.start for part in parts)))
    needed = [part.needed() for part in parts]
    return Held(ANYTHING.start, ANYTHING.end, inner=frozenset().union(*needed) if all(needed) else frozenset())


class Index:
    """Which of some patterns can be in a text, by what each needs."""

    def __init__(self, needed: Sequence[frozenset[bytes]]) -> None:
        self._always = frozenset(n for n, strings in enumerate(needed) if not strings)
        patterns: dict[bytes, list[int]] = {}
        for n, strings in enumerate(needed):
            for string in strings:
                patterns.setdefault(string, []).append(n)
        self._patterns = list(patterns.values())
        self._automaton = BytesAhoCorasick(list(patterns))

    def among(self, encoded: bytes) -> set[int]:
        """The patterns that can be in a text of their `CodePage`."""
        found = {n for n, _, _ in self._automaton.find_matches_as_indexes(plain(encoded), overlapping=True)}
        return set(self._always).union(*(self._patterns[n] for n in found))


def _joined(a: bytes, b: bytes) -> bytes:
    return a + b[1:] if a.endswith(b" ") and b.startswith(b" ") else a + b


def _single_spaced(text: bytes) -> bytes:
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _rarest(*sets: frozenset[bytes]) -> frozenset[bytes]:
    """Of sets of strings that are needed, the one that the fewest texts hold; empty where none is of use."""
    rarest = min(sets, key=_commonness)
    return rarest if _commonness(rarest) < math.inf else frozenset()


@lru_cache(maxsize=10_000)
def _commonness(strings: frozenset[bytes]) -> float:
    """How many of a set's strings a text may be expected to hold; infinite where any text holds one."""
    if not strings or any(not s.strip() for s in strings):
        return math.inf
    return sum(_RARER ** -len(s) for s in strings)
