"""Cues that the model reads between the lines, where no phrase of ours names them.

Only what decides by itself is here: a veiled threat has a hundred wordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from softanswer.domain import Cue, Kind

THREAT = Cue(
    "defensiveness.silence.veiled", (), (), (), 2.4, "the model's head for the rubric's 'threat'",
    kinds=("reply",), hint="silence",
)  # fmt: skip

# (cue, head, the logit from which on it is found). Of 871 replies that training did not see, 38 are labelled
# threats; at 1.0 the head finds six, five of them threats, at 0.0 fourteen, of which eleven are.
READ = ((THREAT, "tag.threat", 1.0),)


def find_read(kind: Kind, logits: Mapping[str, float]) -> Iterator[tuple[Cue, str]]:
    """Find the cues that the heads see in a draft, each with its head."""
    yield from ((cue, head) for cue, head, limit in READ if kind in cue.kinds and logits.get(head, limit - 1) >= limit)
