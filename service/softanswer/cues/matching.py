"""Cues compiled for one language, and found in a text in linear time.

What a match means for a score is the scorers' business.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import re2

from softanswer.cues.files import LanguageData
from softanswer.cues.literals import Index
from softanswer.cues.patterns import CodePage, Grammar, PatternFault, compile_bytes, compile_patterns
from softanswer.domain import Cue, DataFault, Kind, Match, Rewording, Span
from softanswer.text.folding import fold, strip_marks

# A phrase said twenty times is no more evidence than nineteen, and the bound keeps reports finite.
_MAX_MATCHES_PER_CUE = 20
# How many words of a clause may go with a phrase of it that is replaced; more than a few say something.
_CLAUSE_WORDS = 4
# A negator counts when at most three words stand between it and the phrase.
_NEGATION_REACH_CHARS = 60
_PUNCTUATION = b"""().,;:!?[]"'-"""


class Matcher:
    """All cues of one language. Built once at start, immutable, shared by all threads."""

    def __init__(self, language: LanguageData, foldings: Mapping[str, str]) -> None:
        """Compile the cues. `foldings` are those of all languages together, since texts mix.

        Raises `DataFault` naming every cue whose patterns do not compile.
        """
        self._foldings = dict(foldings)
        self._page = CodePage(strip_marks(fold(_written(language), self._foldings))[0])
        self._patterns: list[tuple[Cue, re2._Regexp, re2._Regexp | None]] = []
        self._rewordings: dict[str, list[tuple[re2._Regexp | None, Rewording]]] = {}
        needed: list[frozenset[bytes]] = []
        faults: list[str] = []
        # Patterns are folded letter by letter, and of letters there are few.
        encode = lru_cache(maxsize=None)(self._encode)
        grammars = {
            score: Grammar(encode, language.clitics, language.sets | language.sets_by_file.get(score, {}))
            for score in {cue.score for cue in language.cues}
        }
        for cue in language.cues:
            grammar = grammars[cue.score]
            try:
                unless = compile_patterns(cue.unless, grammar).regex if cue.unless else None
                phrases = compile_patterns(cue.any, grammar)
                self._patterns.append((cue, phrases.regex, unless))
                needed.append(phrases.needed)
                self._rewordings[cue.id] = [
                    (compile_patterns([r.after], grammar).regex if r.after else None, r) for r in cue.rewordings
                ]
            except PatternFault as fault:
                faults.append(f"{language.tag}/{cue.score}.yaml: {cue.id}: {fault}")
        if faults:
            raise DataFault("\n".join(faults))
        self._index = Index(needed)
        conjunctions = compile_patterns(language.conjunctions, Grammar(encode)).regex.pattern
        self._next_clause = compile_bytes(rb"($|[.,;:!?()\"\n\xff]| - )|" + conjunctions)
        negators = compile_patterns(language.negators, Grammar(encode, language.clitics)).regex.pattern
        self._negator = compile_bytes(negators + rb"(?:[ \"'()\-]*[^\s.,;:!?]+){0,3}[ \"'()\-]*$")

    def _encode(self, text: str) -> str:
        return strip_marks(fold(text, self._foldings))[0].translate(self._page)

    def find(self, visible: str, kind: Kind, score: str | None = None) -> tuple[Match, ...]:
        """Find every cue in a visible text, in text order; of one score's cues alone where it is given."""
        folded, positions = strip_marks(fold(visible, self._foldings))
        encoded = folded.translate(self._page).encode("latin-1")
        matches: list[Match] = []
        for n in sorted(self._index.among(encoded)):
            cue, pattern, unless = self._patterns[n]
            if kind in cue.kinds and score in (None, cue.score):
                for start, end in self._spans(cue, pattern, unless, encoded):
                    span = _span(start, end, positions, visible)
                    if not cue.alone or 2 * _letters(visible[span.start : span.end]) >= _letters(visible):
                        kept, better = self._reword(cue, encoded, start, end)
                        clause = self._clause_end(encoded, end) if better else None
                        reworded = _span(kept, clause, positions, visible) if clause else None
                        matches.append(Match(cue, span, reworded, better if clause else ()))
        return tuple(sorted(matches, key=lambda m: (m.span, m.cue.id)))

    def _reword(self, cue: Cue, encoded: bytes, start: int, end: int) -> tuple[int, tuple[str, ...]]:
        """From where on a phrase may be replaced, and what by: the first rewording whose opening fits."""
        for opening, rewording in self._rewordings[cue.id]:
            if opening is None:
                return start, rewording.words
            found = opening.search(encoded[start:end])
            if found and found.start(1) == 0:
                behind = encoded[start + found.end(1) : end]
                rest = behind.lstrip(b" ")
                # What is put in stands behind a space; 'Sorry, if you' and 'sorry (if you' have more there.
                if rest and rest != behind and rest[0] not in _PUNCTUATION:
                    return end - len(rest), rewording.words
        return start, ()

    def _clause_end(self, encoded: bytes, end: int) -> int | None:
        """Where the clause of a phrase ends; None where that is far off.

        Its rest hangs on the phrase and goes with it, as 'by the delay' hangs on 'sorry if you were upset'.
        """
        found = self._next_clause.search(encoded, end)
        at: int = max(found.start(1), found.start(2))
        rest = encoded[end:at].rstrip()
        return end + len(rest) if len(rest.split()) <= _CLAUSE_WORDS else None

    def _spans(
        self, cue: Cue, pattern: re2._Regexp, unless: re2._Regexp | None, encoded: bytes
    ) -> Iterator[tuple[int, int]]:
        """Spans of one cue, less those that an exception or a negator undoes."""
        found = _occurrences(pattern, encoded)
        vetoes = _occurrences(unless, encoded) if found and unless else []
        for start, end in found:
            if any(s < end and start < e for s, e in vetoes):
                continue
            if cue.negatable and self._negator.search(_before(encoded, start)):
                continue
            yield start, end


def _before(encoded: bytes, start: int) -> bytes:
    """The words before a phrase, whole ones, as far as a negator reaches."""
    reach = start - _NEGATION_REACH_CHARS
    space = encoded.find(b" ", max(reach, 0), start)
    return encoded[0 if reach <= 0 else space if space >= 0 else start : start]


def _occurrences(pattern: re2._Regexp, encoded: bytes) -> list[tuple[int, int]]:
    """Phrases in order; the edge after one may be the edge before the next."""
    phrases: list[tuple[int, int]] = []
    found = pattern.search(encoded)
    while found:
        start, end = found.span(1)
        phrases.append((start, end))
        found = pattern.search(encoded, max(end, start + 1)) if len(phrases) < _MAX_MATCHES_PER_CUE else None
    return phrases


def _span(start: int, end: int, positions: tuple[int, ...] | None, visible: str) -> Span:
    """Undo the dropping of marks; the marks behind the last letter belong to it."""
    if positions is None:
        return Span(start, end)
    after = positions[end - 1] + 1
    while after < len(visible) and unicodedata.category(visible[after]) == "Mn":
        after += 1
    return Span(positions[start], after)


def _written(language: LanguageData) -> str:
    """Everything that the patterns of a language are written with."""
    cues = (pattern for cue in language.cues for pattern in (*cue.any, *cue.unless))
    sets = (body for group in (language.sets, *language.sets_by_file.values()) for body in group.values())
    return "".join((*cues, *sets, *language.negators, language.clitics))


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def all_foldings(languages: Iterable[LanguageData]) -> dict[str, str]:
    """The foldings of all languages in one table; their scripts do not overlap."""
    return {k: v for language in languages for k, v in language.foldings.items()}
