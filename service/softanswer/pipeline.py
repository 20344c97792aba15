"""The straight line: Draft -> Analysis -> Scores -> Hints -> Verdict -> Report.

HTTP, bulk and the command line all call `Pipeline.run`. Each stage is pure but for the encoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast, get_args

import numpy as np

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
    Policy,
    Reading,
    Report,
    Rewriting,
    Score,
    Span,
    Text,
    UnknownHint,
    UnknownPolicy,
    Verdict,
)  # fmt: skip
from softanswer.encoder.cache import Embeddings
from softanswer.encoder.model import Embedding, Model, Relation
from softanswer.points import MAX_SENTENCES, find_points, find_unanswered
from softanswer.policy import decide, in_shadow
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

Gain = Mapping[str, float]  # by score, what an edit changes


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks and since when (`time.monotonic`): whose embeddings may be used, and how much time is left.

    `seen` holds the embeddings that were made for it, since its drafts and their variants answer the same.
    """

    owner: str = ""
    started: float = field(default_factory=time.monotonic)
    seen: dict[str, Embedding] = field(default_factory=dict, compare=False)

    def until(self, draft: Draft) -> float | None:
        """When the work on a draft must be through; half of its time is kept for what was begun before."""
        return None if draft.deadline_ms is None else self.started + draft.deadline_ms / 2000

    def is_late(self, draft: Draft) -> bool:
        until = self.until(draft)
        return until is not None and time.monotonic() > until


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
    embeddings: Embeddings
    observe: Callable[[str, float], None] = lambda stage, seconds: None

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

    def warm_up(self) -> None:
        """Read an example of each cue, so that what is built on first use is there before the fork, and shared.

        The automata of the patterns grow as they read, and a detector of languages is unpacked: the first draft of a
        worker took 0.8 s, the next hundred twice as long as those behind them.
        """
        for language in self.languages.values():
            examples = " ".join(cue.match[0] for cue in language.cues)
            for kind in get_args(Kind):
                self._read(Draft(examples, kind=kind))

    def run(self, drafts: Sequence[Draft], call: Call | None = None) -> list[Report]:
        """Report on drafts, in order. Raises `UnknownPolicy`."""
        policies = [self.policy(draft.policy) for draft in drafts]
        call = call or Call()
        return [self._run(draft, policy, call) for draft, policy in zip(drafts, policies, strict=True)]

    def _run(self, draft: Draft, policy: Policy, call: Call) -> Report:
        with self._timed("analyse"):
            analysis = self.analyse(draft, call)
        with self._timed("score"):
            scores, missing = self.score(analysis)
        with self._timed("hint"):
            hints = self.locate(analysis, scores, self.suggest(analysis, scores), call)
        with self._timed("measure"):
            hints, unmeasured = self.measure(analysis, scores, hints, call)
        verdict = decide(analysis, scores, policy)
        if draft.mode == "shadow":
            verdict = in_shadow(verdict)
        return Report(analysis, scores, hints, verdict, missing, (*analysis.degraded, *unmeasured))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.observe(stage, time.perf_counter() - started)

    def rewrite(self, draft: Draft, chosen: Sequence[int] | None = None, call: Call | None = None) -> Rewriting:
        """Apply hints of a draft's report, by their index there, and report on the outcome.

        None applies all that have words to apply. Their gains are measured first, however long that
        takes, so that no edit is left that does harm. Raises `UnknownHint`, `UnknownPolicy`.
        """
        call = call or Call()
        draft = replace(draft, deadline_ms=None)
        before = self.run([replace(draft, gain=True)], call)[0]
        editable = {n: hint for n, hint in enumerate(before.hints) if hint.replacements}
        picked = list(editable) if chosen is None else list(dict.fromkeys(chosen))
        if not editable.keys() >= set(picked):
            raise UnknownHint
        text = before.analysis.text
        edits = sorted(
            ((n, hinting.edit(editable[n], text, draft)) for n in picked), key=lambda ne: (ne[1].start, ne[1].end)
        )
        after = self.run([hinting.apply([editable[n] for n in picked], text, draft)], call)[0]
        return Rewriting(before, tuple(edits), after)

    def decide_under(self, policies: Sequence[Policy], draft: Draft, call: Call) -> list[Verdict]:
        """Score a draft once and decide on it under each policy, whatever policy it names itself."""
        analysis = self.analyse(draft, call)
        scores, _ = self.score(analysis)
        return [decide(analysis, scores, policy) for policy in policies]

    def policy(self, asked: str | Policy) -> Policy:
        """Find a policy by name; one that came with the request is itself. Raises `UnknownPolicy`."""
        if isinstance(asked, Policy):
            return asked
        try:
            return self.policies[asked]
        except KeyError:
            raise UnknownPolicy(asked) from None

    # --- analyse -----------------------------------------------------------------------------

    def analyse(self, draft: Draft, call: Call) -> Analysis:
        """Read a draft and what it answers, and find the points that it leaves."""
        return self._find_unanswered(self._with_reading(self._read(draft), call), call)

    def _read(self, draft: Draft, before: Analysis | None = None) -> Analysis:
        """Read a draft; `before` is of the same draft less some edits."""
        text = self._text(draft.text, draft)
        said = (draft.context.in_reply_to, *(m.text for m in reversed(draft.context.thread) if m.author == "customer"))
        message = next((m for m in said if m.strip()), "")
        kind: Kind = draft.kind or ("reply" if message else "post")
        language = before.language if before else self._language(text, draft.language)
        matches = self._matches(text.visible, language, kind) + find_structure(text, kind)
        matches += self._beside(draft, text, kind, language, matches, before)
        answered = before.answered if before else self._answered(message) if message else None
        return Analysis(draft, kind, text, language, matches, answered)

    def _beside(
        self,
        draft: Draft,
        text: Text,
        kind: Kind,
        language: Language,
        matches: tuple[Match, ...],
        before: Analysis | None,
    ) -> tuple[Match, ...]:
        """The cues of a draft's context: recent posts, the thread, the channel.

        Beside posts and thread an edited draft is what the draft `before` was, and they may be a megabyte.
        """
        context = draft.context

        def sells(visible: str) -> bool:
            # What would be out of place as a promotion in a reply is one in a post.
            return any(m.cue.category == _PROMOTION for m in self._matches(visible, language, "reply"))

        if before:
            whole = Span(0, len(text.visible))
            found = tuple(Match(m.cue, whole) for m in before.matches if m.cue in CONTEXT)
        else:
            recent = [Past(read(p.text, draft.format)[0], p.published_at) for p in context.recent_posts]
            said = [read(m.text, draft.format)[0] for m in context.thread if m.author == "brand"]
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
        matcher = self.matchers.get(language.tag)
        # A message is asked for nothing but whether, and of what, it complains.
        return Answered(text, language, matcher.find(text.visible, "reply", "complaint") if matcher else (), 0.0)

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

    def _with_reading(self, analysis: Analysis, call: Call) -> Analysis:
        reading = None
        message_logit = None
        wanted = self._wanted(analysis)
        degraded: tuple[str, ...] = ()
        if wanted:
            embedded, *others = self._embed(wanted, call, call.until(analysis.draft))
            assert embedded is not None
            relevance, to = None, ""
            if not self.model.reads_whole(wanted[0]):
                degraded = ("length",)
            if any(other is None for other in others):
                degraded += ("relevance",)
            elif others:
                relation: Relation = "reply" if _to_message(analysis) else "topic"
                to = "in_reply_to" if relation == "reply" else "brand"
                relevance = max(
                    self.model.relevance(relation, embedded, cast(Embedding, other), (wanted[0], text))
                    for other, text in zip(others, wanted[1:], strict=True)
                )
                if relation == "reply":
                    message_logit = self.model.read(cast(Embedding, others[0]).vector)["complaint"]
            reading = Reading(self.model.read(embedded.vector), relevance, to)
            seen = tuple(
                Match(cue, self._loudest(head, analysis.text, call))
                for cue, head in find_read(analysis.kind, reading.logits)
            )
            analysis = replace(analysis, matches=analysis.matches + seen)
        answered = analysis.answered
        if answered:
            calibration = self.calibrations.get(answered.language.tag)
            evidence, _ = weigh(answered.matches, COMPLAINT_PUSHES)
            complaint = calibrated(calibration["complaint"], message_logit, evidence) if calibration else 0.0
            answered = replace(answered, complaint=complaint)
        return replace(analysis, reading=reading, answered=answered, degraded=degraded)

    def _embed(self, texts: Sequence[str], call: Call, until: float | None = None) -> list[Embedding | None]:
        return self.embeddings.of(texts, call.owner, until, call.seen)

    def _loudest(self, head: str, text: Text, call: Call) -> Span:
        """The sentence that a head sees most in, among the first of a draft."""
        sentences = text.sentences[:MAX_SENTENCES]
        embedded = self._embed([text.slice(s) for s in sentences], call)
        seen = [self.model.read(cast(Embedding, e).vector)[head] for e in embedded]
        return sentences[seen.index(max(seen))] if seen else Span(0, len(text.visible))

    def _find_unanswered(self, analysis: Analysis, call: Call) -> Analysis:
        """Hold the sentences of a reply against the several points of a complaint."""
        points = self._points(analysis)
        if not points or analysis.answered is None:
            return analysis
        said = [analysis.answered.text.slice(p) for p in points]
        said += [analysis.text.slice(s) for s in analysis.text.sentences[:MAX_SENTENCES]]
        embedded = self._embed(said, call, call.until(analysis.draft))
        if any(e is None for e in embedded):
            return replace(analysis, degraded=(*analysis.degraded, "unanswered"))
        meanings = np.stack([cast(Embedding, e).vector[: self.model.meaning_dims] for e in embedded])
        missed = find_unanswered(points, meanings[: len(points)], meanings[len(points) :])
        return replace(analysis, unanswered=missed)

    def _points(self, analysis: Analysis) -> tuple[Span, ...]:
        """The points that a draft can be held against: those of a complaint, both in languages that the model reads."""
        answered = analysis.answered
        if analysis.reading is None or answered is None or not _to_message(analysis):
            return ()
        if answered.complaint < hinting.COMPLAINT or answered.language.tag not in self.model.languages:
            return ()
        return find_points(answered) if analysis.text.sentences else ()

    # --- score -------------------------------------------------------------------------------

    def score(self, analysis: Analysis) -> tuple[tuple[Score, ...], tuple[NotEvaluated, ...]]:
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
        self, analysis: Analysis, scores: Sequence[Score], hints: tuple[Hint, ...], call: Call
    ) -> tuple[Hint, ...]:
        """Where the head says 'defensive' and no cue says why, find the sentence that carries it.

        Each sentence is left out in turn and the draft scored again; the one whose absence helps most is it.
        """
        if not analysis.draft.gain or not hinting.is_unexplained(scores, hints):
            return hints
        best: tuple[float, Hint] | None = None
        for hint in hinting.sentence_hints(analysis, self.book, self._reader(analysis)):
            if call.is_late(analysis.draft):
                break
            scored, _ = self.score(self._variant([hint], analysis, call))
            left = {s.name: s.value for s in scored}.get("defensiveness", 0.0)
            if best is None or left < best[0]:
                best = left, replace(hint, replacements=())
        return hinting.put_first(best[1], hints) if best else hints

    def measure(
        self, analysis: Analysis, scores: Sequence[Score], hints: tuple[Hint, ...], call: Call
    ) -> tuple[tuple[Hint, ...], tuple[str, ...]]:
        """Apply each edit, score again and keep the edits that help: (hints, what was left out)."""
        editable = [n for n, hint in enumerate(hints) if hint.replacements]
        if not editable or not analysis.draft.gain:
            return hints, ()
        gains: dict[int, Gain] = {}
        for n in editable:
            if call.is_late(analysis.draft):
                return hints, ("gain",)
            variant = self._variant([hints[n]], analysis, call)
            gains[n] = _difference(scores, self.score(variant)[0])
            if _broken_rules(variant) > _broken_rules(analysis):
                gains[n] = {}
        helpful = [n for n in editable if _helps(gains[n])]
        together = [hints[n] for n in helpful]
        if len(helpful) > 1:
            variant = self._variant(together, analysis, call)
            broken = _broken_rules(variant) > _broken_rules(analysis)
            if broken or not _harmless(_difference(scores, self.score(variant)[0])):
                # Where they do harm together, only the best keeps its edit.
                helpful = [max(helpful, key=lambda n: _benefit(gains[n]))]
        return _with_gains(hints, gains, helpful), ()

    def _variant(self, edits: Sequence[Hint], analysis: Analysis, call: Call) -> Analysis:
        """Read a draft with edits in it."""
        edited = hinting.apply(edits, analysis.text, analysis.draft)
        return self._with_reading(self._read(edited, analysis), call)


def _to_message(analysis: Analysis) -> bool:
    """Whether a draft is held against the message it answers; a post is held against the brand."""
    return analysis.answered is not None and analysis.kind == "reply"


def _difference(before: Sequence[Score], after: Sequence[Score]) -> Gain:
    values = {score.name: score.value for score in after}
    return {s.name: round(values[s.name] - s.value, 4) for s in before if s.name in values}


def _broken_rules(analysis: Analysis) -> int:
    """How many rules of its channel a draft breaks, such as the longest text."""
    return len(analysis.found("spam.channel"))


def _harmless(gain: Gain) -> bool:
    """Whether an edit does no harm; one that leaves nothing to score does."""
    return bool(gain) and all(gain.get(n, 0) <= _NOISE for n in _HARMS) and gain.get("relevance", 0) >= -_RELEVANCE_LOSS


def _helps(gain: Gain) -> bool:
    return _harmless(gain) and _benefit(gain) > _NOISE


def _with_gains(hints: Sequence[Hint], gains: Mapping[int, Gain], helpful: Sequence[int]) -> tuple[Hint, ...]:
    """Give each hint its gain. A hint whose edit gains nothing is dropped.

    What is grave, or missing, is told all the same, without the edit.
    """
    out = []
    for n, hint in enumerate(hints):
        if n not in gains:
            out.append(hint)
        elif n in helpful:
            out.append(replace(hint, gain=gains[n]))
        elif hint.severity == "high" or hint.cue.startswith("omission.") or _helps(gains[n]):
            out.append(replace(hint, kind="check", replacements=()))
    return tuple(sorted(out, key=lambda h: (hinting.RANK[h.severity], -_benefit(h.gain) if h.gain else 0.0)))


def _benefit(gain: Gain) -> float:
    """How much better a draft got, all scores together."""
    return sum(-d if name in _HARMS else d for name, d in gain.items())
