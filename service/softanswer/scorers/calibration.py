"""How evidence becomes a probability in each language: `languages/*/calibration.yaml`.

The numbers are made by `training/`, never by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marshmallow
from marshmallow import fields, validate

from softanswer import datafiles


@dataclass(frozen=True, slots=True)
class Line:
    """One logistic regression: value = sigmoid(bias + model * logit + cues * evidence).

    The slopes are not negative, so that calibration keeps the order. The `alone` pair serves
    where no model reads the language.
    """

    bias: float = 0.0
    model: float = 1.0
    cues: float = 0.0
    alone_bias: float = 0.0
    alone_cues: float = 1.0


Calibration = Mapping[str, Line]

# What is calibrated: the scores, the dimensions of tone, and what the customer's message is.
CALIBRATED = (
    *("defensiveness", "spam", "relevance_reply", "relevance_topic", "complaint"),
    *("warmth", "politeness", "formality", "hostility", "enthusiasm", "sentiment"),
)


class _LineSchema(marshmallow.Schema):
    bias = fields.Float()
    model = fields.Float(validate=validate.Range(min=0))
    cues = fields.Float(validate=validate.Range(min=0))
    alone_bias = fields.Float()
    alone_cues = fields.Float(validate=validate.Range(min=0))

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Line:
        return Line(**data)


_SCHEMA = marshmallow.Schema.from_dict({name: fields.Nested(_LineSchema, required=True) for name in CALIBRATED})


def load_calibration(folder: Path) -> Calibration:
    """Read a language folder's calibration. Raises `DataFault`."""
    loaded: dict[str, Line] = datafiles.read(folder / "calibration.yaml", _SCHEMA())
    return loaded
