"""Policies: thresholds and cues -> Verdict. The rules are data in `policies/*.yaml`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import marshmallow
from marshmallow import fields, validate

from softanswer import datafiles
from softanswer.domain import CHECKS, DIMENSIONS, Action, Analysis, DataFault, Reason, Score, Verdict

ROOT = Path(__file__).parent / "policies"
_ACTIONS: tuple[Action, ...] = ("hold", "revise")
_SCORE_NAMES = (*CHECKS, *(f"tone.{d}" for d in DIMENSIONS))


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies when every condition that it names holds."""

    cue: str | None = None
    score: str | None = None
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A named, versioned set of rules; `version` is a digest of the file."""

    name: str
    version: str
    hold: tuple[Rule, ...]
    revise: tuple[Rule, ...]

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"


class _RuleSchema(marshmallow.Schema):
    cue = fields.String()
    score = fields.String(validate=validate.OneOf(_SCORE_NAMES))
    at_least = fields.Float(validate=validate.Range(0, 1))
    at_most = fields.Float(validate=validate.Range(0, 1))

    @marshmallow.validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise marshmallow.ValidationError("A rule needs a cue or a score.")
        if ("score" in data) != (("at_least" in data) or ("at_most" in data)):
            raise marshmallow.ValidationError("A score and a limit (at_least or at_most) go together.")

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Rule:
        return Rule(**data)


class _PolicySchema(marshmallow.Schema):
    hold = fields.List(fields.Nested(_RuleSchema), required=True)
    revise = fields.List(fields.Nested(_RuleSchema), required=True)


def load_policies(root: Path = ROOT) -> dict[str, Policy]:
    """Read every policy file below a root, by name. Raises `DataFault`."""
    policies = {}
    for path in sorted(root.glob("*.yaml")):
        rules = datafiles.read(path, _PolicySchema())
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        policies[path.stem] = Policy(path.stem, version, tuple(rules["hold"]), tuple(rules["revise"]))
    return policies


def check_cue_names(policies: Iterable[Policy], known: Iterable[str]) -> None:
    """Raise `DataFault` where a rule names a cue or category that does not exist, and so would never apply."""
    names = {".".join(cue.split(".")[:n]) for cue in known for n in (1, 2, 3)}
    named = [(policy.name, rule.cue) for policy in policies for rule in (*policy.hold, *policy.revise) if rule.cue]
    unknown = [f"{policy}.yaml: unknown cue {cue!r}" for policy, cue in named if cue not in names]
    if unknown:
        raise DataFault("\n".join(unknown))


def decide(analysis: Analysis, scores: Iterable[Score], policy: Policy) -> Verdict:
    """Decide what should happen to a draft.

    A rule about a score that was not evaluated does not apply. The reasons are all rules of the
    action that apply, in the policy's order.
    """
    values = _values(scores)
    for action, rules in zip(_ACTIONS, (policy.hold, policy.revise), strict=True):
        reasons = tuple(dict.fromkeys(r for rule in rules if (r := _applies(rule, analysis, values))))
        if reasons:
            return Verdict(action, policy.id, reasons)
    return Verdict("publish", policy.id)


def _values(scores: Iterable[Score]) -> Mapping[str, float]:
    values = {}
    for score in scores:
        values[score.name] = score.value
        values |= {f"{score.name}.{name}": value for name, value in (score.dimensions or {}).items()}
    return values


def _applies(rule: Rule, analysis: Analysis, values: Mapping[str, float]) -> Reason | None:
    if rule.cue and not analysis.found(rule.cue):
        return None
    if not rule.score:
        return Reason(cue=rule.cue)
    value = values.get(rule.score)
    if value is None:
        return None
    if rule.at_least is not None and value < rule.at_least:
        return None
    if rule.at_most is not None and value > rule.at_most:
        return None
    limit = rule.at_least if rule.at_least is not None else rule.at_most
    return Reason(score=rule.score, value=value, limit=limit, cue=rule.cue)
