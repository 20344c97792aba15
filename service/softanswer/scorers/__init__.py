"""The scorers, each `(Analysis, Calibration) -> Score | NotEvaluated`, in the order of the report."""

from collections.abc import Callable

from softanswer.domain import Analysis, NotEvaluated, Score
from softanswer.scorers import defensiveness, relevance, spam, tone
from softanswer.scorers.calibration import Calibration

Scorer = Callable[[Analysis, Calibration], Score | NotEvaluated]

SCORERS: tuple[tuple[str, Scorer], ...] = (
    ("tone", tone.score),
    ("defensiveness", defensiveness.score),
    ("relevance", relevance.score),
    ("spam", spam.score),
)
