"""`confidence` means something: where it is high, the service is right more often."""

import numpy as np
import pytest

from training.common import draft, read_corpus
from training.rows import group, held_out

CLEAR = (0, 2, 3)  # a label of 1 is on neither side


@pytest.fixture(scope="module")
def judged(pipeline):
    """(confidence, whether the side of 0.5 was right) for replies of the corpus that training did not see."""
    rows = [r for r in read_corpus() if r["kind"] == "reply" and r["def"] in CLEAR and held_out(group(r))][::2]
    drafts = [draft(r) for r in rows]
    reports = [r for i in range(0, len(drafts), 64) for r in pipeline.run(drafts[i : i + 64])]
    out = []
    for row, report in zip(rows, reports, strict=True):
        # The score is missing where the text is too short to judge.
        scores = [s for s in report.scores if s.name == "defensiveness"]
        out += [(s.confidence, (s.value >= 0.5) == (row["def"] >= 2)) for s in scores]
    return out


def test_accuracy_rises_with_confidence(judged):
    confidence, right = (np.array(column) for column in zip(*judged, strict=True))
    assert len(right) > 150
    low, high = np.quantile(confidence, (1 / 3, 2 / 3))
    accuracy = [
        right[part].mean() for part in (confidence <= low, (confidence > low) & (confidence < high), confidence >= high)
    ]
    assert accuracy[0] + 0.05 < accuracy[2]
    assert accuracy[0] <= accuracy[1] + 0.03
    assert accuracy[1] <= accuracy[2] + 0.03


@pytest.mark.parametrize(
    ("surer", "less_sure"),
    [
        ("You should have read the terms before you ordered.", "You should."),
        (
            "We are sorry, Dana, we packed it badly and a new one leaves today.",
            "We are sorry, דנה, نعتذر 8 # kk lorem ipsum",
        ),
        ("כתוב במפורש בתקנון שאין החזרים, היית צריכה לקרוא.", "היית צריכה."),
        ("نعتذر جداً عن التأخير، الخطأ منا والمبلغ راجع اليوم.", "نعتذر."),
    ],
)
def test_confidence_falls_for_short_and_mixed_text(run, surer, less_sure):
    value = lambda text: next(s for s in run(text, to="?").scores if s.name == "defensiveness").confidence  # noqa: E731
    assert value(less_sure) < value(surer)
