"""Tone: five dimensions and one value, 1 = warm and courteous, 0 = harsh.

Each dimension is a probability that readers find much of it: warmth, politeness, formality,
hostility, enthusiasm.
"""

from __future__ import annotations

from collections.abc import Mapping

from softanswer.domain import DIMENSIONS, Analysis, Score
from softanswer.scorers.calibration import Calibration
from softanswer.scorers.evidence import calibrated, confidence, logit_of, quality_band, sigmoid, weigh

PUSHES: Mapping[str, Mapping[str, float]] = {
    "warmth": {
        "tone.warm": 1.0, "recovery": 0.5, "recovery.explain": 0.0, "recovery.facilitate": 0.2,
        "tone.insult": -1.0, "tone.curt": -0.6, "tone.sarcasm": -0.6, "defensiveness": -0.3,
    },
    "politeness": {
        "tone.polite": 1.0, "tone.warm": 0.3, "recovery.thank": 0.5, "recovery.apologise": 0.5,
        "tone.insult": -1.2, "tone.curt": -0.8, "tone.sarcasm": -0.6, "defensiveness.attack": -0.8,
        "defensiveness.contempt": -0.8, "defensiveness.silence": -0.6,
    },
    "formality": {"tone.formal": 1.0, "tone.informal": -1.0, "spam.form": -0.4},
    "hostility": {
        "tone.insult": 1.5, "tone.sarcasm": 1.0, "tone.curt": 0.5, "defensiveness.attack": 1.0,
        "defensiveness.contempt": 1.0, "defensiveness.silence": 1.0, "tone.warm": -0.3, "tone.polite": -0.3,
    },
    "enthusiasm": {"tone.enthusiasm": 1.0, "spam.form": 0.3, "tone.formal": -0.3},
}  # fmt: skip

# A dimension is read from its head, and from others where that ranks better: what is impolite is hostile, and what a
# reply promises to do is no manner, though the replies that the heads learned from are politer for it.
_READ: Mapping[str, Mapping[str, float]] = {
    "hostility": {"hostility": 1.0, "politeness": -1.0},
    "politeness": {"politeness": 1.0, "warmth": 0.3, "tag.remedy": -0.25},
}

# The evidence that a reader is shown: what warms (+) and what chills (-).
SHOWN = {
    "tone.warm": 1.0, "tone.polite": 0.7, "recovery": 0.5, "recovery.explain": 0.0, "recovery.facilitate": 0.2,
    "tone.insult": -1.5, "tone.sarcasm": -1.0, "tone.curt": -0.7, "defensiveness.attack": -1.0,
    "defensiveness.contempt": -1.0, "defensiveness.silence": -1.0,
}  # fmt: skip

# How the dimensions and the sentiment make the value: their logits, added. A draft is as warm
# as it reads and as harsh as its hostility; politeness may be cold, and is left to its own dimension.
_VALUE = {"warmth": 0.6, "hostility": -0.5, "sentiment": 0.7}
# A businesslike draft without hostility is neither warm nor harsh.
_BIAS = -0.9


def score(analysis: Analysis, calibration: Calibration) -> Score:
    """Score the tone of a draft."""
    dimensions = {}
    for name in DIMENSIONS:
        amount, _ = weigh(analysis.matches, PUSHES[name])
        dimensions[name] = calibrated(calibration[name], logit(analysis, name), amount)
    shown, evidence = weigh(analysis.matches, SHOWN)
    parts = dimensions | {"sentiment": calibrated(calibration["sentiment"], logit(analysis, "sentiment"), shown)}
    value = sigmoid(_BIAS + sum(factor * logit_of(parts[name]) for name, factor in _VALUE.items()))
    return Score(
        "tone",
        value,
        confidence(analysis, value),
        quality_band(value),
        evidence,
        label=_label(value, dimensions),
        dimensions=dimensions,
    )


def logit(analysis: Analysis, name: str) -> float | None:
    """What the heads say of a dimension, uncalibrated; None where there is no model."""
    if analysis.reading is None:
        return None
    logits = analysis.reading.logits
    return sum(factor * logits[head] for head, factor in _READ.get(name, {name: 1.0}).items())


def _label(value: float, dimensions: Mapping[str, float]) -> str:
    """Name the tone in one word, the gravest trait first."""
    if dimensions["hostility"] >= 0.6:
        return "hostile"
    if value < 0.35:
        return "cold" if dimensions["formality"] >= 0.5 else "curt"
    if value < 0.6:
        return "neutral"
    if dimensions["enthusiasm"] >= 0.6:
        return "enthusiastic"
    return "warm" if dimensions["warmth"] >= 0.5 else "courteous"
