"""Spam-likelihood: how spammy a follower finds the draft.

A marketing post is promotional by nature and never spam for that. The value is the probability
that readers call it pushy or worse (2 or 3 of the rubric's 0..3): bait, shouting, stuffing, false
urgency, scams, posts that repeat or crowd.
"""

from __future__ import annotations

from softanswer.domain import Analysis, Score
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, confidence, harm_band, weigh

# Marks of lawful practice, such as an opt-out line, speak against spam; a scam is more than pushy.
PUSHES = {"spam": 1.0, "spam.scam": 1.4, "spam.lawful": -1.0}


def score(analysis: Analysis, calibration: Calibration) -> Score:
    """Score how spammy a draft is."""
    evidence, found = weigh(analysis.matches, PUSHES)
    logit = analysis.reading.logits["spam"] if analysis.reading else None
    value = calibrated(calibration["spam"], logit, evidence)
    return Score("spam", value, confidence(analysis, value), harm_band(value), found)
