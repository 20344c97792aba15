"""The straight line: Draft -> Analysis -> Scores -> Hints -> Verdict -> Report.

HTTP, bulk and the command line all call `Pipeline.run`. Each stage is pure but for the encoder.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from softanswer import hints as hinting
from softanswer.cues.context import CONTEXT, Channel, Past, find_breaches, find_context
from softanswer.cues.files import LanguageData
from softanswer.cues.matching import Matcher
from softanswer.cues.reading import READ, find_read
from softanswer.cues.structure import STRUCTURE, find_structure
from softanswer.domain import (
    CHECKS,
    Analysis,
    Answered,
    Cue,
    Draft,
    Hint,
    Kind,
    Language,
    Match,
    NotEvaluated,
    Reading,
    Report,
    Rewriting,
    Score,
    Span,
    Text,
    UnknownHint,
    UnknownPolicy,
)  # fmt: skip
from softanswer.encoder.model import Model, Vector, overlap
from softanswer.points import MAX_SENTENCES, find_points, find_unanswered
from softanswer.policy import Policy, decide
from softanswer.scorers import SCORERS
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, weigh
from softanswer.text import read_text
from softanswer.text.formats import read
from softanswer.text.language import detect

# Neither may rise when hints are applied, and relevance may not fall by more.
_HARMS = ("defensiveness", "spam")
_NOISE = 0.005
_RELEVANCE_LOSS = 0.05

_PROMOTION = "spam.promo_in_reply"

COMPLAINT_PUSHES = {
    "complaint.problem": 1.0,
    "complaint.anger": 1.0,
    "complaint.praise": -1.0,
    "complaint.question": -0.5,
}

Judged = tuple[tuple[Score, ...], tuple[NotEvaluated, ...]]
Trial = tuple[int, tuple[int, ...]]  # a draft's index, and the indices of its hints that are applied at once


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts of the line, wired once by `app.create_app` or the command line."""

    languages: Mapping[str, LanguageData]
    matchers: Mapping[str, Matcher]
    calibrations: Mapping[str, Calibration]
    model: Model
    book: hinting.Book
    policies: Mapping[str, Policy]
    channels: Mapping[str, Channel]
    data_versions: Mapping[str, str]

    @property
    def versions(self) -> Mapping[str, str]:
        """What made a report: service, cues, model, calibration."""
        return {**self.data_versions, "model": self.model.version}

    def cues(self) -> Iterator[tuple[str | None, Cue]]:
        """Every cue with the tag of its language, None for the cues of form and of context."""
        rules = (cue for channel in self.channels.values() for cue in channel.cues.values())
        yield from ((None, cue) for cue in (*STRUCTURE, *CONTEXT, *rules, *(cue for cue, _, _ in READ)))
        for tag, language in self.languages.items():
            yield from ((tag, cue) for cue in language.cues)

    def run(self, drafts: Sequence[Draft]) -> list[Report]:
        """Report on drafts, in order, with one encode for all and one for all their edits.

        Raises `UnknownPolicy`.
        """
        started = time.monotonic()
        policies = [self._policy(draft) for draft in drafts]
        analyses = self.find_unanswered(self.analyse(drafts))
        judged = [self.score(analysis) for analysis in analyses]
        hints = [self.suggest(analysis, scores) for analysis, (scores, _) in zip(analyses, judged, strict=True)]
        hints = self.locate(analyses, judged, hints)
        hints, degraded = self.measure(analyses, judged, hints, started)
        return [
            Report(a, s, h, decide(a, s, policy), missing, late)
            for a, (s, missing), h, policy, late in zip(analyses, judged, hints, policies, degraded, strict=True)
        ]

    def rewrite(self, draft: Draft, chosen: Sequence[int] | None = None) -> Rewriting:
        """Apply hints of a draft's report, by their index there, and report on the outcome.

        None applies all that have words to apply. Their gains are measured first, so that no
        edit is left that does harm. Raises `UnknownHint`, `UnknownPolicy`.
        """
        before = self.run([replace(draft, gain=True)])[0]
        editable = {n: hint for n, hint in enumerate(before.hints) if hint.replacements}
        picked = list(editable) if chosen is None else list(dict.fromkeys(chosen))
        if not editable.keys() >= set(picked):
            raise UnknownHint
        text = before.analysis.text
        edits = sorted(((n, hinting.edit(editable[n], text, draft)) for n in picked), key=lambda ne: ne[1].start)
        after = self.run([hinting.apply([editable[n] for n in picked], text, draft)])[0]
        return Rewriting(before, tuple(edits), after)

    def _policy(self, draft: Draft) -> Policy:
        try:
            return self.policies[draft.policy]
        except KeyError:
            raise UnknownPolicy(draft.policy) from None

    # --- analyse -----------------------------------------------------------------------------

    def analyse(self, drafts: Sequence[Draft]) -> list[Analysis]:
        """Read drafts and what they answer; every text is encoded once, all in one call."""
        unread = [self._read(draft) for draft in drafts]
        wanted = [self._wanted(analysis) for analysis in unread]
        texts = list(dict.fromkeys(text for some in wanted for text in some))
        vectors = dict(zip(texts, self.model.encode(texts), strict=True)) if texts else {}
        return [self._with_reading(a, w, vectors) for a, w in zip(unread, wanted, strict=True)]

    def _read(self, draft: Draft) -> Analysis:
        text = self._text(draft.text, draft)
        said = (draft.context.in_reply_to, *(m.text for m in reversed(draft.context.thread) if m.author == "customer"))
        message = next((m for m in said if m.strip()), "")
        kind: Kind = draft.kind or ("reply" if message else "post")
        language = self._language(text, draft.language)
        matches = self._matches(text.visible, language, kind) + find_structure(text, kind)
        matches += self._beside(draft, text, kind, language, matches)
        return Analysis(draft, kind, text, language, matches, self._answered(message) if message else None)

    def _beside(
        self, draft: Draft, text: Text, kind: Kind, language: Language, matches: tuple[Match, ...]
    ) -> tuple[Match, ...]:
        """The cues of a draft's context: recent posts, the thread, the channel."""
        context = draft.context
        recent = [Past(read(p.text, draft.format)[0], p.published_at) for p in context.recent_posts]
        said = [read(m.text, draft.format)[0] for m in context.thread if m.author == "brand"]

        def sells(visible: str) -> bool:
            # What would be out of place as a promotion in a reply is one in a post.
            return any(m.cue.category == _PROMOTION for m in self._matches(visible, language, "reply"))

        found = find_context(text, kind, recent, said, context.publish_at, sells)
        channel = self.channels.get(context.channel.strip().lower())
        return found + (find_breaches(text, kind, matches, channel, sells(text.visible)) if channel else ())

    def _text(self, source: str, draft: Draft | None = None) -> Text:
        abbreviations = frozenset().union(*(language.abbreviations for language in self.languages.values()))
        return read_text(source, draft.format if draft else "plain", abbreviations)

    def _language(self, text: Text, told: str | None = None) -> Language:
        if told:
            return Language(told, 1.0, self.languages[told].direction)
        return detect(text.visible, text.entities)

    def _matches(self, visible: str, language: Language, kind: Kind) -> tuple[Match, ...]:
        matcher = self.matchers.get(language.tag)
        return matcher.find(visible, kind) if matcher else ()

    def _answered(self, message: str) -> Answered:
        text = self._text(message)
        language = self._language(text)
        return Answered(text, language, self._matches(text.visible, language, "reply"), 0.0)

    def _wanted(self, analysis: Analysis) -> tuple[str, ...]:
        """The texts to encode for a draft: itself first, then what it is held against."""
        if analysis.language.tag not in self.model.languages:
            return ()
        if _to_message(analysis):
            assert analysis.answered is not None
            readable = analysis.answered.language.tag in self.model.languages
            return (analysis.text.visible, analysis.answered.text.visible) if readable else (analysis.text.visible,)
        brand = analysis.draft.brand
        return (analysis.text.visible, *(t for t in (*brand.topics, brand.about) if t.strip()))

    def _with_reading(self, analysis: Analysis, wanted: Sequence[str], vectors: Mapping[str, Vector]) -> Analysis:
        reading = None
        message_logit = None
        if wanted:
            draft_vector, others = vectors[wanted[0]], [vectors[text] for text in wanted[1:]]
            relevance, to = None, ""
            if others and _to_message(analysis):
                shared = overlap(wanted[0], wanted[1])
                relevance, to = self.model.relevance("reply", draft_vector, others[0], shared), "in_reply_to"
                message_logit = self.model.read(others[0])["complaint"]
            elif others:
                pairs = zip(others, wanted[1:], strict=True)
                relevance = max(self.model.relevance("topic", draft_vector, v, overlap(wanted[0], t)) for v, t in pairs)
                to = "brand"
            reading = Reading(self.model.read(draft_vector), relevance, to)
            seen = find_read(analysis.text, analysis.kind, reading.logits)
            analysis = replace(analysis, matches=analysis.matches + seen)
        answered = analysis.answered
        if answered:
            calibration = self.calibrations.get(answered.language.tag)
            evidence, _ = weigh(answered.matches, COMPLAINT_PUSHES)
            complaint = calibrated(calibration["complaint"], message_logit, evidence) if calibration else 0.0
            answered = replace(answered, complaint=complaint)
        return replace(analysis, reading=reading, answered=answered)

    def find_unanswered(self, analyses: Sequence[Analysis]) -> list[Analysis]:
        """Hold the sentences of replies against the several points of a complaint, all in one encode."""
        points = [self._points(analysis) for analysis in analyses]
        replies = [
            analysis.text.sentences[:MAX_SENTENCES] if some else ()
            for analysis, some in zip(analyses, points, strict=True)
        ]
        texts = [
            text.slice(span)
            for a, some, sentences in zip(analyses, points, replies, strict=True)
            for text, spans in ((a.answered.text if a.answered else a.text, some), (a.text, sentences))
            for span in spans
        ]
        meanings = self.model.encode(texts)[:, : self.model.meaning_dims] if texts else None
        out, at = [], 0
        for analysis, some, sentences in zip(analyses, points, replies, strict=True):
            if some and meanings is not None:
                middle, end = at + len(some), at + len(some) + len(sentences)
                missed = find_unanswered(some, meanings[at:middle], meanings[middle:end])
                analysis, at = replace(analysis, unanswered=missed), end
            out.append(analysis)
        return out

    def _points(self, analysis: Analysis) -> tuple[Span, ...]:
        """The points that a draft can be held against: those of a complaint, both in languages that the model reads."""
        answered = analysis.answered
        if analysis.reading is None or answered is None or not _to_message(analysis):
            return ()
        if answered.complaint < hinting.COMPLAINT or answered.language.tag not in self.model.languages:
            return ()
        return find_points(answered) if analysis.text.sentences else ()

    # --- score -------------------------------------------------------------------------------

    def score(self, analysis: Analysis) -> Judged:
        """Make the checks asked for: (scores, what could not be evaluated)."""
        asked = [name for name in CHECKS if name in analysis.draft.checks]
        if analysis.language.tag == "und" and not any(map(str.isalpha, analysis.text.visible)):
            return (), tuple(NotEvaluated(name, "no_text") for name in asked)
        calibration = self.calibrations.get(analysis.language.tag)
        if calibration is None:
            return (), tuple(NotEvaluated(name, "unsupported_language") for name in asked)
        results = [scorer(analysis, calibration) for name, scorer in SCORERS if name in asked]
        return (
            tuple(r for r in results if isinstance(r, Score)),
            tuple(r for r in results if isinstance(r, NotEvaluated)),
        )

    # --- hint --------------------------------------------------------------------------------

    def suggest(self, analysis: Analysis, scores: Sequence[Score]) -> tuple[Hint, ...]:
        """Suggest hints in the reader's language, else the draft's, else English."""
        return hinting.suggest(analysis, scores, self.book, self._reader(analysis))

    def _reader(self, analysis: Analysis) -> str:
        tags = (analysis.draft.hint_language or "", analysis.language.tag, "en")
        return next(tag for tag in tags if tag in self.book.wordings)

    def locate(
        self, analyses: Sequence[Analysis], judged: Sequence[Judged], hints: Sequence[tuple[Hint, ...]]
    ) -> list[tuple[Hint, ...]]:
        """Where the head says 'defensive' and no cue says why, find the sentence that carries it.

        Each sentence is left out in turn and the draft scored again; the one whose absence helps most is it.
        """
        variants: list[Draft] = []
        owners: list[tuple[int, Hint]] = []
        for i, (analysis, (scores, _), found) in enumerate(zip(analyses, judged, hints, strict=True)):
            if analysis.draft.gain and hinting.is_unexplained(scores, found):
                for hint in hinting.sentence_hints(analysis, self.book, self._reader(analysis)):
                    variants.append(hinting.apply([hint], analysis.text, analysis.draft))
                    owners.append((i, hint))
        best: dict[int, tuple[float, Hint]] = {}
        for (i, hint), variant in zip(owners, self.analyse(variants), strict=True):
            left = next((s.value for s in self.score(variant)[0] if s.name == "defensiveness"), 0.0)
            if i not in best or left < best[i][0]:
                best[i] = (left, replace(hint, replacements=()))
        return [hinting.put_first(best[i][1], found) if i in best else found for i, found in enumerate(hints)]

    def measure(
        self, analyses: Sequence[Analysis], judged: Sequence[Judged], hints: Sequence[tuple[Hint, ...]], started: float
    ) -> tuple[list[tuple[Hint, ...]], list[tuple[str, ...]]]:
        """Apply each edit, score again and keep the edits that help: (hints, what was left out)."""
        degraded: list[tuple[str, ...]] = [()] * len(analyses)
        edits: list[tuple[int, tuple[int, ...]]] = []
        for i, (analysis, found) in enumerate(zip(analyses, hints, strict=True)):
            editable = [n for n, hint in enumerate(found) if hint.replacements]
            if editable and analysis.draft.gain and _late(analysis.draft, started):
                degraded[i] = ("gain",)
            elif analysis.draft.gain:
                edits += [(i, (n,)) for n in editable]
        gains = self._gains(edits, analyses, judged, hints)
        helpful = {i: tuple(ns[0] for j, ns in edits if j == i and _helps(gains[j, ns])) for i, _ in edits}
        together = [(i, ns) for i, ns in helpful.items() if len(ns) > 1]
        gains |= self._gains(together, analyses, judged, hints)
        return [_with_gains(i, found, gains, helpful.get(i, ())) for i, found in enumerate(hints)], degraded

    def _gains(
        self,
        edits: Sequence[Trial],
        analyses: Sequence[Analysis],
        judged: Sequence[Judged],
        hints: Sequence[tuple[Hint, ...]],
    ) -> dict[Trial, dict[str, float]]:
        """What each edit changes: (a draft's index, the indices of its hints that are applied at once)."""
        variants = [hinting.apply([hints[i][n] for n in ns], analyses[i].text, analyses[i].draft) for i, ns in edits]
        after = [self.score(analysis)[0] for analysis in self.analyse(variants)]
        return {edit: _difference(judged[edit[0]][0], scores) for edit, scores in zip(edits, after, strict=True)}


def _to_message(analysis: Analysis) -> bool:
    """Whether a draft is held against the message it answers; a post is held against the brand."""
    return analysis.answered is not None and analysis.kind == "reply"


def _late(draft: Draft, started: float) -> bool:
    """Whether half of a draft's deadline has passed; the rest is kept for what measuring costs."""
    return draft.deadline_ms is not None and (time.monotonic() - started) * 2000 > draft.deadline_ms


def _difference(before: Sequence[Score], after: Sequence[Score]) -> dict[str, float]:
    values = {score.name: score.value for score in after}
    return {s.name: round(values[s.name] - s.value, 4) for s in before if s.name in values}


def _harmless(gain: Mapping[str, float]) -> bool:
    """Whether an edit does no harm; one that leaves nothing to score does."""
    return bool(gain) and all(gain.get(n, 0) <= _NOISE for n in _HARMS) and gain.get("relevance", 0) >= -_RELEVANCE_LOSS


def _helps(gain: Mapping[str, float]) -> bool:
    return _harmless(gain) and _benefit(gain) > _NOISE


def _with_gains(
    owner: int, hints: tuple[Hint, ...], gains: Mapping[Trial, dict[str, float]], helpful: tuple[int, ...]
) -> tuple[Hint, ...]:
    """Give each hint its gain. A hint whose edit gains nothing is dropped.

    What is grave, or missing, is told all the same, without the edit.

    Where the others do harm together, only the best keeps its edit.
    """
    if (owner, helpful) in gains and not _harmless(gains[owner, helpful]):
        helpful = (max(helpful, key=lambda n: _benefit(gains[owner, (n,)])),)
    out = []
    for n, hint in enumerate(hints):
        gain = gains.get((owner, (n,)))
        if gain is None:
            out.append(hint)
        elif n in helpful:
            out.append(replace(hint, gain=gain))
        elif hint.severity == "high" or hint.cue.startswith("omission.") or _helps(gain):
            out.append(replace(hint, kind="check", replacements=()))
    return tuple(sorted(out, key=lambda h: (hinting.RANK[h.severity], -_benefit(h.gain) if h.gain else 0.0)))


def _benefit(gain: Mapping[str, float]) -> float:
    """How much better a draft got, all scores together."""
    return sum(-d if name in _HARMS else d for name, d in gain.items())
