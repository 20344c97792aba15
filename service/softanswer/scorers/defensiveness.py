"""Defensiveness: does the draft argue back instead of listening?

0 = listens, owns or simply helps; 1 = denies, blames, shields itself or threatens. The value is
the probability that readers judge the draft clearly defensive (2 or 3 of the rubric's 0..3).
Categories after Benoit (image repair), Coombs (crisis communication), Gottman, Davidow.
"""

from __future__ import annotations

from softanswer.domain import Analysis, Score
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, confidence, harm_band, weigh

# Recovery softens what it stands beside but cannot undo an attack, hence the half.
PUSHES = {
    "defensiveness": 1.0,
    "tone.insult": 0.8,
    "tone.sarcasm": 0.8,
    "tone.curt": 0.4,
    "recovery": -0.5,
    "recovery.thank": -0.1,
    "recovery.explain": 0.0,
    "recovery.facilitate": -0.2,
}


def score(analysis: Analysis, calibration: Calibration) -> Score:
    """Score how defensive a draft is."""
    evidence, found = weigh(analysis.matches, PUSHES)
    logit = analysis.reading.logits["defensiveness"] if analysis.reading else None
    value = calibrated(calibration["defensiveness"], logit, evidence)
    return Score("defensiveness", value, confidence(analysis, value), harm_band(value), found)
