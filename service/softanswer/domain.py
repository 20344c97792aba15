"""The vocabulary: what the stages pass along, and what can go wrong.

Everything here is frozen and knows nothing of HTTP, files or models. Spans are half-open
and count code points of `Text.visible` until the report is serialised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import regex

Kind = Literal["reply", "post"]
Format = Literal["plain", "html", "markdown"]
OffsetEncoding = Literal["utf-16", "code-point", "utf-8"]
HintKind = Literal["replace", "insert", "remove", "check"]
Severity = Literal["low", "medium", "high"]
Action = Literal["publish", "revise", "hold"]
Mode = Literal["enforce", "shadow"]

CHECKS = ("tone", "defensiveness", "relevance", "spam")
DEGRADED = ("relevance", "unanswered", "gain", "length")
DIMENSIONS = ("warmth", "politeness", "formality", "hostility", "enthusiasm")


class SoftanswerError(Exception):
    """Something a caller can be told about. The message is ours, never the caller's text."""


class UnknownPolicy(SoftanswerError):
    """A policy name that no policy file has."""


class UnknownHint(SoftanswerError):
    """A hint that the report has not, or that has no words to apply."""


class Full(SoftanswerError):
    """So much waits already that more would wait too long."""


class DataFault(SoftanswerError):
    """A fault in a cue, hint, policy or language file; the message starts with path:line."""


class KeysFault(SoftanswerError):
    """The file of API keys or of signing keys cannot be used, or has no such key."""


class BulkFault(SoftanswerError):
    """A table of drafts cannot be read, or its reports cannot be written."""


class Span(NamedTuple):
    """A half-open stretch of a visible text, in code points."""

    start: int
    end: int


# --- what comes in -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    author: Literal["customer", "brand", "other"]
    text: str


@dataclass(frozen=True, slots=True)
class RecentPost:
    text: str
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Context:
    in_reply_to: str = ""
    thread: tuple[Message, ...] = ()
    recent_posts: tuple[RecentPost, ...] = ()
    publish_at: datetime | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Brand:
    name: str = ""
    about: str = ""
    topics: tuple[str, ...] = ()
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies when every condition that it names holds.

    The limits are on `score`, or on the mean of several scores as `weights` weighs them.
    """

    cue: str | None = None
    score: str | None = None
    weights: tuple[tuple[str, float], ...] = ()
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A named, versioned set of rules; `version` is a digest of them."""

    name: str
    version: str
    hold: tuple[Rule, ...]
    revise: tuple[Rule, ...]

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody is about to publish, as submitted, and what is known around it."""

    text: str
    kind: Kind | None = None
    format: Format = "plain"
    language: str | None = None
    offset_encoding: OffsetEncoding = "utf-16"
    hint_language: str | None = None
    checks: tuple[str, ...] = CHECKS
    context: Context = Context()
    brand: Brand = Brand()
    policy: str | Policy = "default"
    mode: Mode = "enforce"
    gain: bool = True
    deadline_ms: int | None = None


# --- the text ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entities:
    """Stretches of the visible text that are not ordinary words."""

    links: tuple[Span, ...] = ()
    mentions: tuple[Span, ...] = ()
    hashtags: tuple[Span, ...] = ()
    emoji: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Language:
    """The language a text is written in.

    `tag` is a BCP 47 tag ('und' where nothing can be told); `confidence` 0..1.
    """

    tag: str
    confidence: float
    direction: Literal["ltr", "rtl"]


# Inline tags of HTML, or what stands behind the last words of a Markdown line.
_CLOSING = regex.compile(
    r"(?:</(?:a|abbr|b|cite|code|del|em|font|i|ins|mark|q|s|small|span|strong|sub|sup|u)\b[^>]*>)++"
    r"|(?![<\s&])[^\n]*+|"
)


@dataclass(frozen=True, slots=True)
class Text:
    """A submitted text and what a reader sees of it.

    `starts[i]` and `ends[i]` bound, in code points of `source`, what visible character i was
    made from: one code point in plain text, `&amp;` in HTML. Both are None where visible and
    source are the same.
    """

    source: str
    visible: str
    sentences: tuple[Span, ...]
    entities: Entities
    starts: tuple[int, ...] | None = field(default=None, repr=False)
    ends: tuple[int, ...] | None = field(default=None, repr=False)

    def in_source(self, span: Span) -> Span:
        """Map a span of the visible text to the code points of the text as submitted.

        An empty span is where words may go in: behind the markup that the text before it closes.
        """
        if self.starts is None or self.ends is None:
            return span
        if span.start == span.end:
            at = self.starts[span.start] if span.start < len(self.starts) else self._end()
            return Span(at, at)
        return Span(self.starts[span.start], self.ends[span.end - 1])

    def _end(self) -> int:
        """Where text may still be appended: in the last paragraph, but in no link and no emphasis."""
        closing = _CLOSING.match(self.source, self.ends[-1]) if self.ends else None
        return closing.end() if closing else len(self.source)

    def slice(self, span: Span) -> str:
        """The visible characters of a span."""
        return self.visible[span.start : span.end]


# --- cues ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rewording:
    """Words that may stand in a phrase's place, from the end of `after` on.

    `after` is a pattern that opens the phrase and stays, so that what agrees with the speaker
    keeps its form ('' where nothing stays).
    """

    words: tuple[str, ...]
    after: str = ""


@dataclass(frozen=True, slots=True)
class Cue:
    """A fact that a text may show: what to look for, and what it says.

    `weight` 0..2.5 is evidence in the direction of the cue's category. Of 'defensiveness.deny.records'
    `score` is 'defensiveness', the file that the cue belongs to, and `category` 'defensiveness.deny'.
    """

    id: str
    any: tuple[str, ...]
    match: tuple[str, ...]
    no_match: tuple[str, ...]
    weight: float
    source: str
    unless: tuple[str, ...] = ()
    negatable: bool = False
    kinds: tuple[Kind, ...] = ("reply", "post")
    alone: bool = False
    hint: str = ""
    rewordings: tuple[Rewording, ...] = ()
    score: str = field(init=False)
    category: str = field(init=False)

    def __post_init__(self) -> None:
        # Asked for hundreds of times a draft.
        object.__setattr__(self, "score", self.id.partition(".")[0])
        object.__setattr__(self, "category", ".".join(self.id.split(".")[:2]))


@dataclass(frozen=True, slots=True)
class Match:
    """A cue found in a visible text.

    `reworded` is the part of it that `better`, words of the cue's, may stand for; None where the
    sentence could break.
    """

    cue: Cue
    span: Span
    reworded: Span | None = None
    better: tuple[str, ...] = ()


# --- the analysis --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """What a reply answers: the customer's message, read in its own language.

    `complaint` 0..1 is how likely it is a complaint rather than praise or a plain question.
    """

    text: Text
    language: Language
    matches: tuple[Match, ...]
    complaint: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model made of a draft, before calibration: one logit a head.

    `relevance` is the logit of the pair head, `relevance_to` the part of the request that the
    draft was held against; None where there was nothing to hold it against.
    """

    logits: Mapping[str, float]
    relevance: float | None = None
    relevance_to: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything the scorers may look at, computed once.

    `reading` is None where the model does not know the draft's language. `unanswered` are the
    points of the message, as spans of its visible text, that the draft does not take up;
    `degraded` names what there was no time for, or that the model reads the beginning of the draft only.
    """

    draft: Draft
    kind: Kind
    text: Text
    language: Language
    matches: tuple[Match, ...]
    answered: Answered | None = None
    reading: Reading | None = None
    unanswered: tuple[Span, ...] = ()
    degraded: tuple[str, ...] = ()

    def found(self, prefix: str) -> tuple[Match, ...]:
        """The matches of one score or category, such as 'spam' or 'recovery.apologise'."""
        return tuple(m for m in self.matches if f"{m.cue.id}.".startswith(f"{prefix}."))


# --- what comes out ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """A match as one score saw it; a positive weight raises the score's value."""

    cue: str
    span: Span
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """A calibrated value 0..1 with what it rests on; `confidence` 0..1."""

    name: str
    value: float
    confidence: float
    band: str
    evidence: tuple[Evidence, ...] = ()
    label: str | None = None
    dimensions: Mapping[str, float] | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """A check that could not be made, and why."""

    check: str
    reason: Literal["unsupported_language", "no_encoder_for_language", "no_context", "no_text", "deadline"]


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to change, where, and what that would do.

    `span` is zero-length for something that is missing. `gain` maps a score to the difference
    that applying the first replacement makes. `example` shows how it could sound, '' where there
    is none.
    """

    cue: str
    kind: HintKind
    severity: Severity
    span: Span
    message: str
    replacements: tuple[str, ...] = ()
    gain: Mapping[str, float] | None = None
    example: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a verdict is what it is: a score past its limit, or a cue that decides by itself."""

    score: str | None = None
    value: float | None = None
    limit: float | None = None
    cue: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should happen to a draft; in shadow mode it may be published, and `would_be` tells the action meant."""

    action: Action
    policy: str
    reasons: tuple[Reason, ...] = ()
    would_be: Action | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in a text as submitted: code points `start` to `end` become `words`."""

    start: int
    end: int
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one draft."""

    analysis: Analysis
    scores: tuple[Score, ...]
    hints: tuple[Hint, ...]
    verdict: Verdict
    not_evaluated: tuple[NotEvaluated, ...]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A draft with some of its hints applied: `edits` by the index of the hint, in text order."""

    before: Report
    edits: tuple[tuple[int, Edit], ...]
    after: Report
