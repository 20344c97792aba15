"""Cues of context: a draft beside what was published before it, and beside the rules of its channel.

They are cues like those of the files, found by looking rather than by reading, and language-free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import marshmallow
import regex
from marshmallow import fields, validate

from softanswer import datafiles
from softanswer.cues.structure import by_looking
from softanswer.domain import Cue, Kind, Match, Span, Text

CHANNELS_FILE = Path(__file__).parent / "channels.yaml"

_DUPLICATE_SHARE = 0.6  # of three-word runs in common; a template with one fact changed still passes it
_MIN_DUPLICATE_WORDS = 5
_BUSY_WINDOW = timedelta(hours=24)
_BUSY_POSTS = 4
_REST = timedelta(minutes=45)
_LAST_POSTS, _MIN_POSTS = 10, 5
_TOO_MANY_PROMOTIONS = 0.7  # of the last posts, this one among them

_FOLLOWERS = "Followers leave over frequency and irrelevance"
DUPLICATE = by_looking(
    "spam.repetition.near_duplicate", 1.4, "near_duplicate", "Jaccard of word shingles, Broder 1997", ("post",)
)
BUSY = by_looking("spam.cadence.too_many", 1.0, "too_many_posts", _FOLLOWERS, ("post",))
CLOSE = by_looking("spam.cadence.too_close", 0.7, "too_close_posts", _FOLLOWERS, ("post",))
PROMOTIONS = by_looking("spam.cadence.promotions", 0.6, "too_many_promotions", _FOLLOWERS, ("post",))
_PERSON = "Davidow 2003, attentiveness: a person, not a form"
REPEATED = by_looking("relevance.template.repeated", 1.2, "repeated_template", _PERSON, ("reply",))

CONTEXT = (DUPLICATE, BUSY, CLOSE, PROMOTIONS, REPEATED)


@dataclass(frozen=True, slots=True)
class Past:
    """What was published before a draft, as readers saw it."""

    visible: str
    at: datetime | None = None


def find_context(
    text: Text,
    kind: Kind,
    recent: Sequence[Past],
    said: Sequence[str],
    publish_at: datetime | None,
    sells: Callable[[str], bool],
) -> tuple[Match, ...]:
    """Find what a draft is beside recent posts and beside what the brand `said` in the thread.

    `sells` tells whether a text promotes something.
    """
    whole = Span(0, len(text.visible))
    cues = (*_among(text, recent, publish_at), *_promotions(text, recent, sells), *_repeated(text, said))
    return tuple(Match(cue, whole) for cue in cues if kind in cue.kinds)


def _among(text: Text, recent: Sequence[Past], publish_at: datetime | None) -> Iterator[Cue]:
    if _is_repeated(text, [past.visible for past in recent]):
        yield DUPLICATE
    if publish_at:
        times = sorted(past.at for past in recent if past.at)
        before = [t for t in times if timedelta(0) <= publish_at - t <= _BUSY_WINDOW]
        if len(before) >= _BUSY_POSTS:
            yield BUSY
        elif before and publish_at - before[-1] < _REST:
            yield CLOSE


def _promotions(text: Text, recent: Sequence[Past], sells: Callable[[str], bool]) -> Iterator[Cue]:
    if len(recent) + 1 < _MIN_POSTS or not sells(text.visible):
        return
    # Posts without a time are taken to be told in the order of publishing.
    last = sorted(recent, key=lambda past: past.at.timestamp() if past.at else 0.0)[1 - _LAST_POSTS :]
    if 1 + sum(sells(past.visible) for past in last) >= _TOO_MANY_PROMOTIONS * (len(last) + 1):
        yield PROMOTIONS


def _repeated(text: Text, said: Sequence[str]) -> Iterator[Cue]:
    if _is_repeated(text, said):
        yield REPEATED


_WORD = regex.compile(r"[\p{L}\p{N}]+")
_MARK = regex.compile(r"[\p{Mn}\u0640]+")


def _is_repeated(text: Text, others: Sequence[str]) -> bool:
    shingles = _shingles(text.visible) if others else frozenset()
    return any(_alike(shingles, _shingles(other)) for other in others)


def _shingles(visible: str) -> frozenset[tuple[str, ...]]:
    words = [w.lower() for w in _WORD.findall(_MARK.sub("", visible))]
    if len(words) < _MIN_DUPLICATE_WORDS:
        return frozenset()
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def _alike(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> bool:
    return bool(a and b) and len(a & b) >= _DUPLICATE_SHARE * len(a | b)


# --- channels ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel's public rules say of form; `cues` by the rule's name."""

    max_chars: int | None
    max_wide_chars: int | None
    link_chars: int | None
    max_hashtags: int | None
    max_links: int | None
    cues: Mapping[str, Cue]


# The weight of breaking a rule, and the hint; what is merely cut off makes nothing spam.
_RULES: Mapping[str, tuple[float, str]] = {
    "max_chars": (0.0, "too_long"),
    "max_hashtags": (0.4, "hashtags"),
    "max_links": (0.4, "links"),
    "links_dead": (0.0, "dead_link"),
    "no_bait": (0.4, "bait"),
    "opt_out": (0.5, "no_opt_out"),
}


# What the seven-bit alphabet of SMS lacks makes a whole message take two bytes a character (3GPP TS 23.038).
_WIDE = regex.compile(r"[^\x00-\x7f£¥èéùìòÇØøÅåÄäÖöÑñÜüàß§¿¡€ΔΦΓΛΩΠΨΣΘΞÆæÉ]")


class _ChannelSchema(marshmallow.Schema):
    max_chars = fields.Integer(allow_none=True, required=True, validate=validate.Range(min=1))
    max_wide_chars = fields.Integer(allow_none=True, load_default=None, validate=validate.Range(min=1))
    link_chars = fields.Integer(allow_none=True, load_default=None, validate=validate.Range(min=1))
    max_hashtags = fields.Integer(allow_none=True, required=True, validate=validate.Range(min=0))
    max_links = fields.Integer(allow_none=True, required=True, validate=validate.Range(min=0))
    links_dead = fields.Boolean(required=True)
    no_bait = fields.Boolean(required=True)
    opt_out = fields.Boolean(required=True)
    sources = fields.Dict(
        keys=fields.String(validate=validate.OneOf(list(_RULES))), values=fields.String(), required=True
    )

    @marshmallow.validates_schema
    def _sourced(self, data: dict[str, Any], **_: Any) -> None:
        rules = {name for name in _RULES if data[name] not in (None, False)}
        if rules != set(data["sources"]):
            raise marshmallow.ValidationError("Every rule needs its public source, and no other has one.", "sources")


def load_channels(path: Path = CHANNELS_FILE) -> dict[str, Channel]:
    """Read the channels' rules, by name. Raises `DataFault`."""
    return {name: _channel(name, rules) for name, rules in datafiles.read_each(path, _ChannelSchema).items()}


def _channel(name: str, rules: Mapping[str, Any]) -> Channel:
    cues = {
        rule: by_looking(f"spam.channel.{name}_{rule}", weight, hint, rules["sources"][rule])
        for rule, (weight, hint) in _RULES.items()
        if rule in rules["sources"]
    }
    limits = ("max_chars", "max_wide_chars", "link_chars", "max_hashtags", "max_links")
    return Channel(**{name: rules[name] for name in limits}, cues=cues)


def find_breaches(text: Text, kind: Kind, matches: Sequence[Match], channel: Channel, sells: bool) -> tuple[Match, ...]:
    """Find the rules of its channel that a draft breaks. `matches` are its other cues."""
    visible, entities = text.visible, text.entities
    spans: dict[str, Sequence[Span]] = {"no_bait": [m.span for m in matches if m.cue.category == "spam.bait"]}
    room = channel.max_wide_chars if channel.max_wide_chars and _WIDE.search(visible) else channel.max_chars
    end = len(visible) if room is None else _last_fitting(visible, entities.links, room, channel.link_chars)
    if end < len(visible):
        spans["max_chars"] = [Span(end, len(visible))]
    for rule, limit, found in (
        ("max_hashtags", channel.max_hashtags, entities.hashtags), ("max_links", channel.max_links, entities.links),
    ):  # fmt: skip
        if limit is not None and len(found) > limit:
            spans[rule] = [Span(found[limit].start, found[-1].end)]
    spans["links_dead"] = entities.links
    if kind == "post" and sells and not any(m.cue.category == "spam.lawful" for m in matches):
        spans["opt_out"] = [Span(len(visible), len(visible))]
    return tuple(Match(cue, span) for rule, cue in channel.cues.items() for span in spans.get(rule, ()))


def _last_fitting(visible: str, links: Sequence[Span], room: int, link_chars: int | None) -> int:
    """Where a text no longer fits. A link that counts as `link_chars`, however long it is, is cut whole."""
    if link_chars is not None:
        for link in links:
            if room < link.start:
                break
            room += link.end - link.start - link_chars
            if room < link.end:
                return link.start
    return min(room, len(visible))
