"""Links, mentions, hashtags and emoji in a visible text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import regex
from linkify_it import LinkifyIt

from softanswer.domain import Entities, Span

_MENTION = regex.compile(r"(?<![\p{L}\p{N}_@./])@[\p{L}\p{N}_](?:[\p{L}\p{N}_.]*+(?<=[\p{L}\p{N}_]))?")
_HASHTAG = regex.compile(r"(?<![\p{L}\p{N}_&/#])[#＃](?=[\p{N}_]*+\p{L})[\p{L}\p{M}\p{N}_]++")
# Whole clusters: flags, keycaps, and signs joined by ZWJ with their skin tones. Signs that are
# text by default (©, ™, arrows) count only where a variation selector makes them emoji, the
# heart and its like always.
_SIGN = r"(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|[❤♥☺☹✌☝☀✔☎✈✍])\p{Emoji_Modifier}?"
_EMOJI = regex.compile(
    rf"\p{{Regional_Indicator}}{{2}}|[0-9#*]\uFE0F?\u20E3|{_SIGN}(?:\u200D(?:{_SIGN}|[\p{{Extended_Pictographic}}]))*+"
)
# A link needs one of these; most drafts have none and are spared linkify's many searches.
_MAY_LINK = regex.compile(r"://|www\.|[\p{L}\p{N}]\.\p{L}{2}|@", regex.IGNORECASE)
_LINKIFY = LinkifyIt()
# linkify-it searches again from each candidate; past this length a text is cut at white space.
_PIECE_CHARS = 2_000


def entities(visible: str) -> Entities:
    """Find the entities of a text, each in order."""
    links = tuple(_links(visible)) if _MAY_LINK.search(visible) else ()
    mentions = tuple(Span(*m.span()) for m in _MENTION.finditer(visible)) if "@" in visible else ()
    hashtags = tuple(Span(*m.span()) for m in _HASHTAG.finditer(visible))
    inside = [s for s in (*mentions, *hashtags) if not touches(s, links)]
    return Entities(
        links,
        tuple(s for s in inside if visible[s.start] == "@"),
        tuple(s for s in inside if visible[s.start] != "@"),
        tuple(_emoji(visible)),
    )


def touches(span: Span, spans: Sequence[Span]) -> bool:
    """Whether a span shares a character with one of `spans`, which are in order and disjoint."""
    before = bisect_left(spans, span.end, key=lambda s: s.start)
    return before > 0 and spans[before - 1].end > span.start


def _links(visible: str) -> list[Span]:
    found: list[Span] = []
    for start, piece in _pieces(visible):
        if _MAY_LINK.search(piece):
            links = (link for link in _LINKIFY.match(piece) or () if link.schema != "mailto:")
            found += [Span(start + link.index, start + link.last_index) for link in links]
    return found


def _pieces(visible: str) -> list[tuple[int, str]]:
    pieces, start = [], 0
    while start < len(visible):
        end = min(start + _PIECE_CHARS, len(visible))
        if end < len(visible):
            space = max(visible.rfind(" ", start, end), visible.rfind("\n", start, end))
            end = space + 1 if space > start else end
        pieces.append((start, visible[start:end]))
        start = end
    return pieces


def _emoji(visible: str) -> list[Span]:
    return [] if visible.isascii() else [Span(*m.span()) for m in _EMOJI.finditer(visible)]
