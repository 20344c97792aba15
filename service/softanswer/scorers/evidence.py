"""What the scorers share: matches weighed into evidence, and evidence turned into a calibrated value."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

from softanswer.domain import Analysis, Evidence, Match
from softanswer.scorers.calibration import Line

# Each further match of a category counts half of the one before, so that a category is worth
# at most twice its strongest cue (rspamd caps its groups for the same reason).
_REPEAT = 0.5


def weigh(matches: Iterable[Match], pushes: Mapping[str, float]) -> tuple[float, tuple[Evidence, ...]]:
    """Weigh the matches that bear on a score.

    `pushes` maps a score or category to the factor its cues' weights count with; the longest
    name that fits a cue wins. Gives the sum (logits) and the evidence in text order.
    """
    by_category: dict[str, list[tuple[float, Match]]] = defaultdict(list)
    for match in matches:
        factor = pushes.get(match.cue.category, pushes.get(match.cue.score, 0.0))
        if factor * match.cue.weight:
            by_category[match.cue.category].append((factor * match.cue.weight, match))
    total = 0.0
    evidence: list[Evidence] = []
    for pushed in by_category.values():
        pushed.sort(key=lambda wm: (-abs(wm[0]), wm[1].span))
        total += sum(w * _REPEAT**i for i, (w, _) in enumerate(pushed))
        evidence += [Evidence(m.cue.id, m.span, round(w, 3)) for w, m in pushed]
    return total, tuple(sorted(evidence, key=lambda e: (e.span, e.cue)))


def calibrated(line: Line, logit: float | None, evidence: float) -> float:
    """Join a head's logit (None where there is no model) and the evidence to a probability 0..1."""
    if logit is None:
        return sigmoid(line.alone_bias + line.alone_cues * evidence)
    return sigmoid(line.bias + line.model * logit + line.cues * evidence)


def sigmoid(x: float) -> float:
    """The logistic function, safe for any finite x."""
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def logit_of(p: float) -> float:
    """The inverse of `sigmoid`, kept within -6..6."""
    p = min(max(p, 0.0025), 0.9975)
    return math.log(p / (1.0 - p))


def confidence(analysis: Analysis, value: float) -> float:
    """How far a value can be trusted, 0..1.

    A calibrated value is right about its side of 0.5 with probability max(p, 1 - p); short
    texts and an uncertain language take from that.
    """
    words = len(analysis.text.visible.split())
    return round(max(value, 1 - value) * words / (words + 1.5) * analysis.language.confidence, 3)


def harm_band(value: float) -> str:
    """The band of a score where high is bad."""
    return "low" if value < 0.3 else "medium" if value < 0.6 else "high"


def quality_band(value: float) -> str:
    """The band of a score where high is good."""
    return "poor" if value < 0.4 else "fair" if value < 0.65 else "good"
