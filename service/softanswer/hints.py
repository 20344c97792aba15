"""Evidence and omissions -> hints: what to change, where, and in which words.

Messages are in the reader's language, edits in the draft's. Measuring what an edit gains needs
the scorers and is the pipeline's business; here is only how to apply one.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import marshmallow
import regex
from marshmallow import fields, validate

from softanswer import datafiles
from softanswer.cues.files import LanguageData
from softanswer.domain import Analysis, DataFault, Draft, Edit, Hint, HintKind, Match, Score, Severity, Span, Text

MAX_HINTS = 7
RANK: Mapping[Severity, int] = {"high": 0, "medium": 1, "low": 2}
# Below this the score is fine as it is, and one cue in a good draft is noise, not news.
_QUIET = 0.25
# From this tone on, and below this defensiveness, a draft reads well. Of held-out replies that readers call free of
# defence 2 to 4 % score between 0.25 and this, and without a cue to point at that is noise.
_COURTEOUS = 0.5
_LEVEL = 0.33
# Below this relevance a draft is told to be beside the point: of held-out replies to another message 17 % lie there,
# of replies to their own 2 %.
_OFF_TOPIC = 0.2
# A cue this heavy is worth a hint whatever the score says: threats, insults, scams.
_LOUD = 1.9
# From this probability on a message counts as a complaint.
COMPLAINT = 0.5
# Facts about a draft's place, true however good it is.
_FACTS = {"spam.channel", "spam.cadence", "spam.repetition"}
# After this many answers of the brand's in one thread a further one is an argument.
_ROUNDS = 2
# The tag head that can see what no phrase of ours names.
_SEEN_BY = {
    "no_acknowledgement": ("tag.ack", "tag.own"),
    "no_apology": ("tag.apology", "tag.own"),
    "no_next_step": ("tag.remedy", "tag.contact"),
}


@dataclass(frozen=True, slots=True)
class Sort:
    """What all languages share of a hint."""

    kind: HintKind
    severity: Severity
    omission: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wording:
    """What one language says: the message, how it could sound, what may be inserted."""

    message: str
    example: str = ""
    insert: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """All hints, and their wording by language tag and name."""

    sorts: Mapping[str, Sort]
    wordings: Mapping[str, Mapping[str, Wording]]


class _SortSchema(marshmallow.Schema):
    kind = fields.String(required=True, validate=validate.OneOf(["replace", "insert", "remove", "check"]))
    severity = fields.String(required=True, validate=validate.OneOf(list(RANK)))
    omission = fields.List(fields.String(), load_default=[])

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Sort:
        return Sort(data["kind"], data["severity"], tuple(data["omission"]))


class _WordingSchema(marshmallow.Schema):
    message = fields.String(required=True, validate=validate.Length(1, 300))
    example = fields.String(load_default="")
    insert = fields.String(load_default="")

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Wording:
        return Wording(**data)


def load_book(root: Path, tags: Iterable[str]) -> Book:
    """Read `hints.yaml` of the root and of each language. Raises `DataFault`."""
    sorts = datafiles.read_each(root / "hints.yaml", _SortSchema)
    wordings = {tag: datafiles.read_each(root / tag / "hints.yaml", _WordingSchema, sorts) for tag in tags}
    return Book(sorts, wordings)


def check_hint_names(book: Book, languages: Iterable[LanguageData]) -> None:
    """Raise `DataFault` where a cue that should come with a hint names one that no one wrote."""
    unknown = [
        f"{language.tag}/{cue.score}.yaml: {cue.id}: unknown hint {cue.hint!r}"
        for language in languages
        for cue in language.cues
        if cue.hint != cue.category.partition(".")[2] and cue.hint not in book.sorts
    ]
    if unknown:
        raise DataFault("\n".join(unknown))


# --- suggesting ----------------------------------------------------------------------------


def suggest(analysis: Analysis, scores: Iterable[Score], book: Book, reader: str) -> tuple[Hint, ...]:
    """Suggest at most seven hints, no two for the same words, the gravest first.

    `reader` is the language tag of the messages.
    """
    values = {s.name: s.value for s in scores}
    messages = book.wordings[reader]
    found = [*_from_evidence(analysis, values, book, messages), *_from_thread(analysis, values, book, messages)]
    if values.get("relevance", 1.0) < _OFF_TOPIC:
        found.append((0.0, _of_whole("relevance.off_topic", "off_topic", book, messages)))
    # What would merely be nicer is told where something is wrong, never of a good draft.
    if not _reads_well(values) or any(hint.severity != "low" for _, hint in found):
        found += _from_omissions(analysis, book, messages)
    found.sort(key=lambda wh: (RANK[wh[1].severity], -wh[0], wh[1].span))
    chosen: list[Hint] = []
    for _, hint in found:
        # What is said of the whole draft takes no words from the hints on its parts.
        taken = [other.span for other in chosen if not _is_whole(other.span, analysis.text)]
        free = _is_whole(hint.span, analysis.text) or not any(_overlap(hint.span, span) for span in taken)
        if len(chosen) < MAX_HINTS and free:
            chosen.append(hint)
    removed = [hint.span.end for hint in chosen if hint.replacements == ("",)]
    # What joins a sentence to one that is taken out would be left over.
    return tuple(
        replace(hint, kind="check", replacements=()) if hint.kind == "insert" and hint.span.start in removed else hint
        for hint in chosen
    )


def _is_whole(span: Span, text: Text) -> bool:
    return span.start == 0 and span.end == len(text.visible) and len(text.sentences) > 1


_DEFENSIVE = 0.5
_MAX_SENTENCES = 8


def is_unexplained(scores: Iterable[Score], hints: Iterable[Hint]) -> bool:
    """Whether a draft is judged defensive and no hint says why; an insult says it too."""
    value = next((s.value for s in scores if s.name == "defensiveness"), 0.0)
    return value >= _DEFENSIVE and not any(h.cue.startswith(("defensiveness.", "tone.insult.")) for h in hints)


def sentence_hints(analysis: Analysis, book: Book, reader: str) -> list[Hint]:
    """One hint for each of the first eight sentences, whose edit leaves the sentence out."""
    sort = book.sorts["defensive_sentence"]
    message = book.wordings[reader]["defensive_sentence"].message
    return [
        Hint("defensiveness.sentence", sort.kind, sort.severity, span, message, ("",))
        for span in analysis.text.sentences[:_MAX_SENTENCES]
    ]


def put_first(hint: Hint, hints: Sequence[Hint]) -> tuple[Hint, ...]:
    """Put a hint before the others, which give way where they point at the same words."""
    return (hint, *(other for other in hints if not _overlap(hint.span, other.span)))[:MAX_HINTS]


def _overlap(a: Span, b: Span) -> bool:
    return a.start < b.end and b.start < a.end


def _from_evidence(
    analysis: Analysis, values: Mapping[str, float], book: Book, messages: Mapping[str, Wording]
) -> Iterator[tuple[float, Hint]]:
    for match in analysis.matches:
        cue = match.cue
        sort = book.sorts.get(cue.hint)
        if sort is None or not _worth_saying(match, values):
            continue
        span, edits = _edit(match, sort, analysis.text)
        if edits and not _is_plain(analysis.text, span):
            edits = ()
        kind = sort.kind if edits else "check"
        wording = messages[cue.hint]
        yield cue.weight, Hint(cue.id, kind, sort.severity, span, wording.message, edits, example=wording.example)


def _worth_saying(match: Match, values: Mapping[str, float]) -> bool:
    score = match.cue.score
    if score not in values:
        return False
    if match.cue.weight >= _LOUD or match.cue.category in _FACTS or match.cue.hint == "repeated_template":
        return True
    bad = 1.0 - values[score] if score in ("tone", "relevance") else values[score]
    return bad >= _QUIET


def _edit(match: Match, sort: Sort, text: Text) -> tuple[Span, tuple[str, ...]]:
    """What to change for a match: (span, replacements); no replacements where none is safe."""
    phrase = text.slice(match.span)
    if match.reworded:
        return match.reworded, tuple(_cased(words, text.slice(match.reworded)) for words in match.better)
    if match.cue.hint == "caps":
        return match.span, (_sentence_case(phrase, opens=_opens_sentence(match.span.start, text)),)
    if form := _FORM_EDITS.get(match.cue.hint):
        better = form(phrase)
        return match.span, (better,) if better != phrase else ()
    if sort.kind == "remove":
        return _removal(match.span, text)
    return match.span, ()


def _removal(span: Span, text: Text) -> tuple[Span, tuple[str, ...]]:
    """Take out the whole sentence: a phrase alone would leave a broken one."""
    around = [s for s in text.sentences if s.start < span.end and span.start < s.end]
    if not around or len(around) == len(text.sentences):
        return span, ()
    start, end = min(around[0].start, span.start), max(around[-1].end, span.end)
    while end < len(text.visible) and text.visible[end] in " \t":
        end += 1
    return Span(start, end), ("",)


def _cased(replacement: str, phrase: str) -> str:
    """Keep the capital that opened the phrase; a shouted phrase tells none."""
    opens = phrase[:1].isupper() and not (len(phrase) > 1 and phrase.isupper())
    return replacement[:1].upper() + replacement[1:] if opens else replacement


def _is_plain(text: Text, span: Span) -> bool:
    """Whether a span holds no markup that an edit would tear apart."""
    start, end = text.in_source(span)
    source = text.source[start:end]
    return source == text.slice(span) or html.unescape(source) == text.slice(span)


_ENGLISH_I = regex.compile(r"\bi(?=['’](?:m|ve|ll|d)\b|(?![\w'’]))")
_SENTENCE_START = regex.compile(r"(?:[.!?…]\s+)\p{Ll}")


def _opens_sentence(at: int, text: Text) -> bool:
    return any(s.start == at for s in text.sentences)


def _sentence_case(phrase: str, opens: bool) -> str:
    """Lower the capitals, but for those that open a sentence."""
    lower = _SENTENCE_START.sub(lambda m: m.group().upper(), phrase.lower())
    lower = _ENGLISH_I.sub("I", lower)
    return lower[:1].upper() + lower[1:] if opens else lower


_FORM_EDITS = {
    "punctuation": lambda p: "?" if "?" in p else "؟" if "؟" in p else p[0],
    # In Latin letters 'sooooon' may be 'soon' and 'sooo' is 'so': the writer knows, we don't.
    "elongation": lambda p: "" if p[0] == "\u0640" else p if p[0].isascii() else p[0],
    "spaced_letters": lambda p: regex.sub(r"[ .\-_*]", "", p),
    "money_signs": lambda p: p[0] if p[0] in "$€£₪" else "",
}


def _from_thread(
    analysis: Analysis, values: Mapping[str, float], book: Book, messages: Mapping[str, Wording]
) -> Iterator[tuple[float, Hint]]:
    """Where a complaint goes on after two answers and the next one argues, a person helps and not a third."""
    rounds = sum(m.author == "brand" for m in analysis.draft.context.thread)
    if not _answers_complaint(analysis) or rounds < _ROUNDS or analysis.found("recovery.facilitate"):
        return
    escalates = analysis.reading is not None and analysis.reading.logits["escalation"] > 0.0
    if escalates or values.get("defensiveness", 0.0) >= _QUIET:
        yield 0.0, _of_whole("thread.argument", "stop_arguing", book, messages)


def _of_whole(cue: str, name: str, book: Book, messages: Mapping[str, Wording]) -> Hint:
    """A hint on the draft as a whole, which no words of it carry."""
    sort, wording = book.sorts[name], messages[name]
    return Hint(cue, sort.kind, sort.severity, Span(0, 0), wording.message, example=wording.example)


def _reads_well(values: Mapping[str, float]) -> bool:
    return values.get("defensiveness", 0.0) < _LEVEL and values.get("tone", 1.0) >= _COURTEOUS


def _answers_complaint(analysis: Analysis) -> bool:
    return analysis.kind == "reply" and analysis.answered is not None and analysis.answered.complaint >= COMPLAINT


def _from_omissions(analysis: Analysis, book: Book, messages: Mapping[str, Wording]) -> Iterator[tuple[float, Hint]]:
    """What a reply to a complaint leaves out."""
    if not _answers_complaint(analysis):
        return
    edits = book.wordings.get(analysis.language.tag)
    if edits is None:  # what can't be read can't be missed
        return
    if analysis.unanswered:
        yield 0.0, _unanswered(analysis, book, messages)
    for name, sort in book.sorts.items():
        if not sort.omission or any(analysis.found(c) for c in sort.omission) or _seen(analysis, name):
            continue
        if name == "no_apology" and any(m.better for m in analysis.found("defensiveness.non_apology")):
            continue  # the hint there makes it one
        at_start = name in ("no_apology", "no_acknowledgement")
        at = _opening(analysis.text) if at_start else _ending(analysis.text)
        insert = edits[name].insert if at is not None and not _in_link(analysis.text, at) else ""
        at = at or 0
        words = (_joined(insert, analysis.text.visible[:at]),) if insert else ()
        message = messages[name].message.replace("{quote}", _shortened(_problem(analysis)))
        kind: HintKind = "insert" if words else "check"
        example = messages[name].example
        yield 0.0, Hint(f"omission.{name}", kind, sort.severity, Span(at, at), message, words, example=example)


_MARKS = regex.compile(r"\p{Mn}+$")


def _joined(insert: str, before: str) -> str:
    """A sentence as it goes in behind what stands there, which may lack its full stop."""
    if not before or before[-1].isspace():
        return f"{insert} "
    last = _MARKS.sub("", before)[-1:]
    return f". {insert}" if last.isalnum() else f" {insert}"


def _seen(analysis: Analysis, name: str) -> bool:
    if analysis.reading is None:
        return False
    return any(analysis.reading.logits.get(tag, -9.0) > 0.0 for tag in _SEEN_BY.get(name, ()))


_MAX_GREETING_WORDS = 4


_HANDLES = regex.compile(r"\s*+(?:@[\p{L}\p{N}_.]++[,:]?\s++)*+")
_GREETING = regex.compile(r"[^\s,.!?؟،]++(?:\s[^\s,.!?؟،]++){0,3}+\s?[,،]")


def _opening(text: Text) -> int | None:
    """Where an opening sentence may go in: behind leading handles and a short greeting.

    None where a greeting runs on ('Hi Anna, we are open'): no sentence fits there.
    """
    handles = _HANDLES.match(text.visible)
    start = handles.end() if handles else 0
    if not text.sentences or _GREETING.match(text.visible, start):
        return None if text.sentences else 0
    # Handles may stand on a line, and so in a sentence, of their own.
    first = next((s for s in text.sentences if s.end > start), None)
    if first is None:
        return start
    greeting = text.visible[start : first.end]
    if len(text.sentences) > 1 and len(greeting.split()) <= _MAX_GREETING_WORDS and greeting[-1] not in "?؟":
        return first.end
    return start


_SIGNATURE = regex.compile(r"(?<=\s)(?:\^\p{L}{1,3}|[-–—~] ?\p{Lu}\p{L}*)\s*$")


def _ending(text: Text) -> int:
    """Where a closing sentence may go in: before a signature such as '^JL' or '- Anna'."""
    signature = _SIGNATURE.search(text.visible)
    return signature.start() if signature else len(text.visible.rstrip())


_OPENS_LINK = regex.compile(r"(?:\[|^#{1,6} +|<(?:a|h[1-6])\b[^>]*>)$", regex.IGNORECASE | regex.MULTILINE)


def _in_link(text: Text, at: int) -> bool:
    """Whether words that are put in here would become part of a link or a heading."""
    start = text.in_source(Span(at, at)).start
    return text.source != text.visible and bool(_OPENS_LINK.search(text.source, max(start - 500, 0), start))


def _unanswered(analysis: Analysis, book: Book, messages: Mapping[str, Wording]) -> Hint:
    answered = analysis.answered
    assert answered is not None
    hint = _of_whole("omission.unanswered", "unanswered", book, messages)
    quote = _shortened(answered.text.slice(analysis.unanswered[0]))
    at = len(analysis.text.visible.rstrip())
    return replace(hint, span=Span(at, at), message=hint.message.replace("{quote}", quote))


def _problem(analysis: Analysis) -> str:
    """The customer's words that name the problem: the first sentence with most cues of one."""
    answered = analysis.answered
    assert answered is not None
    problems = [m.span.start for m in answered.matches if m.cue.category == "complaint.problem"]
    sentences = answered.text.sentences or (Span(0, len(answered.text.visible)),)
    return answered.text.slice(max(sentences, key=lambda s: sum(s.start <= at < s.end for at in problems)))


def _shortened(words: str) -> str:
    some = words.split()
    return " ".join(some[:14]) + ("…" if len(some) > 14 else "")


# --- applying ------------------------------------------------------------------------------


def edit(hint: Hint, text: Text, draft: Draft) -> Edit:
    """What a hint's first replacement changes in the text as submitted."""
    words = hint.replacements[0]
    return Edit(*text.in_source(hint.span), html.escape(words, quote=False) if draft.format == "html" else words)


def apply(hints: Sequence[Hint], text: Text, draft: Draft) -> Draft:
    """Apply the first replacement of each hint to the text as submitted.

    Hints must not overlap, and each must have a replacement.
    """
    source = draft.text
    for hint in sorted(hints, key=lambda h: h.span, reverse=True):
        change = edit(hint, text, draft)
        source = source[: change.start] + change.words + source[change.end :]
    return replace(draft, text=source)
