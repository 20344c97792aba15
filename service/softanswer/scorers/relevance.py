"""Relevance: does the draft answer this very message, or fit what the brand is about?

A reply is held against the message it answers; a post against the brand's topics and its 'about'.
"""

from __future__ import annotations

from softanswer.domain import Analysis, NotEvaluated, Score
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, confidence, quality_band, weigh

# 'Thank you for reaching out' fits any message, so it says nothing about this one.
PUSHES = {"relevance.template": -1.0}


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
    evidence, found = weigh(analysis.matches, PUSHES if to == "in_reply_to" else {})
    line = calibration["relevance_reply" if to == "in_reply_to" else "relevance_topic"]
    value = calibrated(line, analysis.reading.relevance, evidence)
    return Score("relevance", value, confidence(analysis, value), quality_band(value), found, to=to)
