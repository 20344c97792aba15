"""Policies: thresholds and cues -> Verdict. The rules are data in `policies/*.yaml`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import marshmallow
from marshmallow import fields, validate

from softanswer import datafiles
from softanswer.domain import CHECKS, DIMENSIONS, Action, Analysis, DataFault, Policy, Reason, Rule, Score, Verdict

ROOT = Path(__file__).parent / "policies"
_ACTIONS: tuple[Action, ...] = ("hold", "revise")
MAX_RULES = 100  # of one action
SCORE_NAMES = (*CHECKS, *(f"tone.{d}" for d in DIMENSIONS))


class _Number(fields.Float):
    """A number, and nothing that is like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class _Weights(fields.Dict):
    """Names of scores -> weights. Marshmallow would read the dots of `tone.hostility` as nesting in a schema."""

    def __init__(self) -> None:
        weight = {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 100}
        super().__init__(
            metadata={
                "description": "The limit is on the mean of these scores, each as heavy as said here.",
                "properties": dict.fromkeys(SCORE_NAMES, weight),
                "additionalProperties": False,
                "minProperties": 1,
            }
        )
        self._weight = _Number(validate=validate.Range(0, 100, min_inclusive=False))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return dict(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        written = super()._deserialize(value, attr, data, **kwargs)
        if not written:
            raise marshmallow.ValidationError("Must name a score.")
        faults: dict[str, Any] = {name: ["No such score."] for name in written if name not in SCORE_NAMES}
        for name in written.keys() - faults.keys():
            try:
                self._weight.deserialize(written[name])
            except marshmallow.ValidationError as error:
                faults[name] = error.messages
        if faults:
            raise marshmallow.ValidationError(faults)
        # In one order, so that a policy's digest does not depend on how its JSON was written.
        return tuple((name, float(written[name])) for name in sorted(written))


class RuleSchema(marshmallow.Schema):
    """Applies when all that it names holds: a cue found, a score (or a mean of scores) at or past its limit."""

    cue = fields.String(metadata={"description": "A cue, or the category of several, as GET /v1/cues names them."})
    score = fields.String(validate=validate.OneOf(SCORE_NAMES))
    weights = _Weights()
    at_least = _Number(validate=validate.Range(0, 1))
    at_most = _Number(validate=validate.Range(0, 1))

    @marshmallow.validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise marshmallow.ValidationError("A rule needs a cue or a score.")
        if "score" in data and "weights" in data:
            raise marshmallow.ValidationError("A score or weights, not both.")
        if ("score" in data or "weights" in data) != ("at_least" in data or "at_most" in data):
            raise marshmallow.ValidationError("A score and a limit (at_least or at_most) go together.")

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Rule:
        return Rule(**data)

    @marshmallow.post_dump
    def _short(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value not in (None, {})}


def _rules() -> datafiles.Few:
    return datafiles.Few(fields.Nested(RuleSchema), lambda: MAX_RULES, required=True, metadata={"maxItems": MAX_RULES})


class PolicySchema(marshmallow.Schema):
    """The first action, in the order hold, revise, that has a rule which applies is the verdict; else publish."""

    hold = _rules()
    revise = _rules()


def load_policies(root: Path = ROOT) -> dict[str, Policy]:
    """Read every policy file below a root, by name. Raises `DataFault`."""
    policies = {}
    for path in sorted(root.glob("*.yaml")):
        rules = datafiles.read(path, PolicySchema())
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        policies[path.stem] = Policy(path.stem, version, tuple(rules["hold"]), tuple(rules["revise"]))
    return policies


def make_inline(rules: Mapping[str, Iterable[Rule]]) -> Policy:
    """Make a policy of rules that came with a request.

    Its version is a digest of what the rules say, and long: nobody may find other rules that have the same.
    """
    hold, revise = tuple(rules["hold"]), tuple(rules["revise"])
    said = json.dumps([[asdict(rule) for rule in rules] for rules in (hold, revise)], sort_keys=True)
    return Policy("inline", hashlib.sha256(said.encode()).hexdigest()[:32], hold, revise)


@lru_cache(maxsize=1)  # a policy in a request is held against the same names each time, and making them takes 1 ms
def cue_names(known: tuple[str, ...]) -> frozenset[str]:
    """The names that a rule may give for cues: their ids, and the scores and categories that these begin with."""
    return frozenset(".".join(cue.split(".")[:n]) for cue in known for n in (1, 2, 3))


def check_cue_names(policies: Iterable[Policy], known: tuple[str, ...]) -> None:
    """Raise `DataFault` where a rule names a cue or category that does not exist, and so would never apply."""
    names = cue_names(known)
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


def in_shadow(verdict: Verdict) -> Verdict:
    """Let a draft be published and tell what would have been said of it, and why."""
    return replace(verdict, action="publish", would_be=verdict.action)


def _values(scores: Iterable[Score]) -> Mapping[str, float]:
    values = {}
    for score in scores:
        values[score.name] = score.value
        values |= {f"{score.name}.{name}": value for name, value in (score.dimensions or {}).items()}
    return values


def _applies(rule: Rule, analysis: Analysis, values: Mapping[str, float]) -> Reason | None:
    if rule.cue and not analysis.found(rule.cue):
        return None
    weights = rule.weights or (((rule.score, 1.0),) if rule.score else ())
    if not weights:
        return Reason(cue=rule.cue)
    if any(name not in values for name, _ in weights):
        return None
    value = sum(values[name] * weight for name, weight in weights) / sum(weight for _, weight in weights)
    if rule.at_least is not None and value < rule.at_least:
        return None
    if rule.at_most is not None and value > rule.at_most:
        return None
    limit = rule.at_least if rule.at_least is not None else rule.at_most
    return Reason(score="+".join(name for name, _ in weights), value=value, limit=limit, cue=rule.cue)
