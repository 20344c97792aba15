"""Relevance: does the draft answer this very message, or fit what the brand is about?

A reply is held against the message it answers; a post against the brand's topics and its 'about'.
"""

from __future__ import annotations

from softanswer.domain import Analysis, Evidence, NotEvaluated, Score
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, confidence, quality_band, weigh

# 'Thank you for reaching out' fits any message, so it says nothing about this one.
PUSHES = {"relevance.template": -1.0}
# What heads tell of the draft alone counts as cues do: some templates have words that no cue knows, and a reply that
# names the customer's problem speaks to it.
_READ = {"specificity": 0.5, "tag.ack": 0.25}


def score(analysis: Analysis, calibration: Calibration) -> Score | NotEvaluated:
    """Score how relevant a draft is to what it is held against."""
    if analysis.reading is None:
        return NotEvaluated("relevance", "no_encoder_for_language")
    if "relevance" in analysis.degraded:
        return NotEvaluated("relevance", "deadline")
    if analysis.reading.relevance is None:
        unread = analysis.kind == "reply" and analysis.answered and analysis.answered.language.tag != "und"
        return NotEvaluated("relevance", "unsupported_language" if unread else "no_context")
    to = analysis.reading.relevance_to
    evidence, found = weigh_reply(analysis) if to == "in_reply_to" else (0.0, ())
    line = calibration["relevance_reply" if to == "in_reply_to" else "relevance_topic"]
    value = calibrated(line, analysis.reading.relevance, evidence)
    return Score("relevance", value, confidence(analysis, value), quality_band(value), found, to=to)


def weigh_reply(analysis: Analysis) -> tuple[float, tuple[Evidence, ...]]:
    """Weigh what a reply says of itself, whatever it answers: whether it would fit any message."""
    total, found = weigh(analysis.matches, PUSHES)
    logits = analysis.reading.logits if analysis.reading else {}
    # Heads that were trained by an earlier release don't know of specificity.
    return total + sum(factor * logits.get(head, 0.0) for head, factor in _READ.items()), found
