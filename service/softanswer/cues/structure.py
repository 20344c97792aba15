"""Cues of form: how a draft looks, whatever it says.

They are cues like those of the files, found by looking rather than by reading, and language-free.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from softanswer.domain import Cue, Kind, Match, Span, Text
from softanswer.text.entities import touches


def by_looking(name: str, weight: float, hint: str, source: str, kinds: tuple[Kind, ...] = ("reply", "post")) -> Cue:
    """A cue that is found by looking at a draft and not by its words."""
    return Cue(name, (), (), (), weight, source, kinds=kinds, hint=hint)


_PLATFORM = "Spam and engagement-bait rules of the large platforms; SpamAssassin rules of form"
CAPS = by_looking("spam.form.caps", 0.9, "caps", _PLATFORM)
PUNCTUATION = by_looking("spam.form.punctuation", 0.6, "punctuation", _PLATFORM)
EMOJI = by_looking("spam.form.emoji", 0.5, "emoji", _PLATFORM)
HASHTAGS = by_looking("spam.form.hashtags", 0.8, "hashtags", _PLATFORM)
LINKS = by_looking("spam.form.links", 0.8, "links", _PLATFORM)
ELONGATION = by_looking("spam.form.elongation", 0.3, "elongation", _PLATFORM)
SPACED = by_looking("spam.form.spaced_letters", 0.9, "spaced_letters", _PLATFORM)
MONEY = by_looking("spam.form.money_signs", 0.7, "money_signs", _PLATFORM)
ECHO = by_looking("spam.form.repeated_line", 0.9, "repeated_line", _PLATFORM)

STRUCTURE = (CAPS, PUNCTUATION, EMOJI, HASHTAGS, LINKS, ELONGATION, SPACED, MONEY, ECHO)

# Three or more shouted words in a row; two are often a name or an abbreviation.
_SHOUTED = r"\p{Lu}[\p{Lu}'’]++(?![\p{L}\p{N}])"
_SHOUT = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}'’])(?:{_SHOUTED}(?:[\s,;:!&.\-]++{_SHOUTED}){{2,}}+|\p{{Lu}}{{10,}}+(?![\p{{L}}\p{{N}}]))"
)
_MARKS = regex.compile(r"[!?؟](?:[!?؟]{2,}+|(?: ?[!?؟]){3,}+)")
# A row of x is a size or masks a number; one letter for a word is laughter, as in חחחח and هههه.
_STRETCHED = regex.compile(r"(?<!\p{L})(\p{L})\1{3,}+(?!\p{L})(*SKIP)(*FAIL)|((?![xX])\p{L})\2{3,}+|\u0640{3,}+")
_SPACED_LETTERS = regex.compile(r"(?<![\p{L}'’])\p{L}(?:[ .\-_*]\p{L}(?![\p{L}'’])){3,}+")
_MONEY_RUN = regex.compile(r"[$€£₪]{2,}+|(?:💰|💵|🤑|💸){3,}+")
_WORD = regex.compile(r"[\p{L}\p{N}]+")


def find_structure(text: Text, kind: Kind) -> tuple[Match, ...]:
    """Find the cues of form in a draft. Linear in the text."""
    return tuple(m for m in _form(text) if kind in m.cue.kinds)


def _form(text: Text) -> Iterator[Match]:
    visible, entities = text.visible, text.entities
    words = len(_WORD.findall(visible))
    named = sorted((*entities.links, *entities.mentions, *entities.hashtags))
    for cue, pattern in _PATTERNS:
        spans = (Span(*m.span()) for m in pattern.finditer(visible))
        yield from (Match(cue, s) for s in spans if not touches(s, named) and not _is_list(text.slice(s)))
    if len(entities.emoji) >= 6 and 3 * len(entities.emoji) >= words:
        yield Match(EMOJI, _hull(entities.emoji))
    else:
        yield from (Match(EMOJI, run) for run in _emoji_runs(text))
    if len(entities.hashtags) > 5 or (len(entities.hashtags) >= 3 and 2 * len(entities.hashtags) >= words):
        yield Match(HASHTAGS, _hull(entities.hashtags))
    if len(entities.links) >= 3:
        yield Match(LINKS, _hull(entities.links))
    yield from _echoes(text)


_PATTERNS = (
    (CAPS, _SHOUT), (PUNCTUATION, _MARKS), (SPACED, _SPACED_LETTERS), (MONEY, _MONEY_RUN), (ELONGATION, _STRETCHED),
)  # fmt: skip


def _is_list(phrase: str) -> bool:
    """Whether a phrase lists letters in their order, as in 'vitamins A B C D'."""
    letters = regex.findall(r"\b\p{L}\b", phrase)
    return len(letters) > 2 and letters == sorted(letters)


def _hull(spans: tuple[Span, ...]) -> Span:
    return Span(spans[0].start, spans[-1].end)


def _emoji_runs(text: Text) -> Iterator[Span]:
    """Runs of five or more emoji with nothing but spaces between them."""
    run: list[Span] = []
    for span in text.entities.emoji:
        if run and text.visible[run[-1].end : span.start].strip():
            if len(run) >= 5:
                yield _hull(tuple(run))
            run = []
        run.append(span)
    if len(run) >= 5:
        yield _hull(tuple(run))


def _echoes(text: Text) -> Iterator[Match]:
    """A sentence that stands three times or more: its last occurrence is what is too much."""
    seen: dict[str, int] = {}
    for span in text.sentences:
        sentence = text.slice(span)
        if len(sentence) >= 8:
            seen[sentence] = seen.get(sentence, 0) + 1
            if seen[sentence] == 3:
                yield Match(ECHO, span)
