"""Report -> plain data for JSON. Offsets are converted here and only here."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from softanswer.domain import CHECKS, Evidence, Hint, Reason, Report, Rewriting, Score, Span, Verdict
from softanswer.receipts import SigningKeys, content_hash
from softanswer.text.offsets import convert


def render(report: Report, versions: Mapping[str, str], signing_keys: SigningKeys | None = None) -> dict[str, Any]:
    """Make the JSON-ready form of a report, in the offset encoding that the draft asked for; signed where keys are."""
    analysis = report.analysis
    draft = analysis.draft
    spans = {e.span for s in report.scores for e in s.evidence} | {h.span for h in report.hints}
    places = _Places(report, spans)
    text_hash = content_hash(draft.text)
    return {
        "id": uuid.uuid4().hex,
        "kind": analysis.kind,
        "language": {
            "tag": analysis.language.tag,
            "confidence": analysis.language.confidence,
            "direction": analysis.language.direction,
        },
        "scores": {score.name: _score(score, places) for score in report.scores},
        "hints": [_hint(n, hint, places) for n, hint in enumerate(report.hints)],
        "unanswered": _unanswered(report),
        "verdict": render_verdict(report.verdict),
        "not_evaluated": [{"check": n.check, "reason": n.reason} for n in report.not_evaluated],
        "degraded": list(report.degraded),
        "content_hash": text_hash,
        "receipt": _receipt(report, text_hash, versions, signing_keys) if signing_keys else None,
        "versions": dict(versions),
    }


def render_verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "action": verdict.action,
        "policy": verdict.policy,
        "reasons": [_reason(reason) for reason in verdict.reasons],
        "would_be": verdict.would_be,
    }


def _receipt(report: Report, text_hash: str, versions: Mapping[str, str], signing_keys: SigningKeys) -> str | None:
    """Sign what is meant, where all was judged.

    Who asks in shadow mode, for some checks only, in a language that is not read, or at a length of which
    the model reads the beginning, shall not get a receipt that says publish for whatever he wrote.
    """
    judged = {score.name for score in report.scores} | {
        n.check for n in report.not_evaluated if (n.check, n.reason) == ("relevance", "no_context")
    }
    if judged != set(CHECKS) or "length" in report.degraded:
        return None
    verdict, analysis = report.verdict, report.analysis
    read_as = {"kind": analysis.kind, "format": analysis.draft.format, "language": analysis.language.tag}
    return signing_keys.sign(text_hash, verdict.would_be or verdict.action, verdict.policy, read_as, versions)


def render_rewriting(
    rewriting: Rewriting, versions: Mapping[str, str], signing_keys: SigningKeys | None = None
) -> dict[str, Any]:
    """Make the JSON-ready form of a rewritten draft."""
    draft = rewriting.before.analysis.draft
    flat = convert(draft.text, [at for _, e in rewriting.edits for at in (e.start, e.end)], draft.offset_encoding)
    return {
        "text": rewriting.after.analysis.draft.text,
        "diff": [
            {
                "hint": _hint_id(n), "start": flat[2 * i], "end": flat[2 * i + 1],
                "quote": draft.text[edit.start : edit.end], "replacement": edit.words,
            }
            for i, (n, edit) in enumerate(rewriting.edits)
        ],
        "before": render(rewriting.before, versions, signing_keys),
        "report": render(rewriting.after, versions, signing_keys),
    }  # fmt: skip


def _hint_id(index: int) -> str:
    return f"h{index + 1}"


class _Places:
    """Spans of the visible text -> start, end and quote in the text as submitted."""

    def __init__(self, report: Report, spans: Iterable[Span]) -> None:
        draft, text = report.analysis.draft, report.analysis.text
        visible = list(spans)
        source = [text.in_source(span) for span in visible]
        flat = convert(draft.text, [at for span in source for at in span], draft.offset_encoding)
        self._by_span = {
            span: {"start": flat[2 * i], "end": flat[2 * i + 1], "quote": draft.text[source[i].start : source[i].end]}
            for i, span in enumerate(visible)
        }

    def __getitem__(self, span: Span) -> dict[str, Any]:
        return self._by_span[span]


def _unanswered(report: Report) -> list[dict[str, Any]]:
    """The points of the message that the draft leaves, in the message as submitted."""
    analysis = report.analysis
    if analysis.answered is None:
        return []
    text = analysis.answered.text
    source = [text.in_source(span) for span in analysis.unanswered]
    flat = convert(text.source, [at for span in source for at in span], analysis.draft.offset_encoding)
    return [
        {"quote": text.source[start:end], "start": flat[2 * i], "end": flat[2 * i + 1]}
        for i, (start, end) in enumerate(source)
    ]


def _score(score: Score, places: _Places) -> dict[str, Any]:
    out: dict[str, Any] = {"value": round(score.value, 4)}
    if score.label is not None:
        out["label"] = score.label
    out |= {"confidence": score.confidence, "band": score.band}
    if score.to is not None:
        out["to"] = score.to
    if score.dimensions is not None:
        out["dimensions"] = {name: round(value, 4) for name, value in score.dimensions.items()}
    out["evidence"] = [_evidence(e, places) for e in score.evidence]
    return out


def _evidence(evidence: Evidence, places: _Places) -> dict[str, Any]:
    return {"cue": evidence.cue, **places[evidence.span], "weight": evidence.weight}


def _hint(index: int, hint: Hint, places: _Places) -> dict[str, Any]:
    return {
        "id": _hint_id(index),
        "cue": hint.cue,
        "kind": hint.kind,
        "severity": hint.severity,
        **places[hint.span],
        "message": hint.message,
        "replacements": list(hint.replacements),
        "example": hint.example or None,
        "gain": None if hint.gain is None else dict(hint.gain),
    }


def _reason(reason: Reason) -> dict[str, Any]:
    out = {"score": reason.score, "value": reason.value, "limit": reason.limit, "cue": reason.cue}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in out.items() if v is not None}
