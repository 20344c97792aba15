"""Policies over HTTP: what there is, and what another one would change."""

from __future__ import annotations

from typing import Any

import marshmallow
from flask_smorest import Api, Blueprint
from marshmallow import fields

from softanswer.api.problems import INVALID_FIELDS, ProblemSchema, pointers, problem
from softanswer.api.render import render_verdict
from softanswer.api.schemas import BatchSchema, PolicyField, VerdictSchema
from softanswer.api.score import ScoreBlueprint, do_work, loaded_pipeline, may_refuse_the_body, refused_when_full
from softanswer.domain import Draft
from softanswer.pipeline import Call, Pipeline
from softanswer.policy import PolicySchema, cue_names

blueprint: Blueprint = ScoreBlueprint("policies", __name__, url_prefix="/v1/policies", description="What decides.")


class NamedPolicySchema(marshmallow.Schema):
    name = fields.String(required=True)
    version = fields.String(required=True)
    rules = fields.Nested(PolicySchema, required=True, metadata={"description": "May be sent as `policy`, changed."})


class PoliciesSchema(marshmallow.Schema):
    policies = fields.List(fields.Nested(NamedPolicySchema), required=True)


class SimulationSchema(BatchSchema):
    """Several drafts and two policies; what the drafts say of `policy`, `mode` and `gain` does not count."""

    before = PolicyField(load_default="default")
    after = PolicyField(required=True)


class OutcomeSchema(marshmallow.Schema):
    """The verdicts on one draft, or the problem with it."""

    before = fields.Nested(VerdictSchema)
    after = fields.Nested(VerdictSchema)
    changed = fields.Boolean(metadata={"description": "Whether the action is another."})
    problem = fields.Nested(ProblemSchema)


class SimulatedSchema(marshmallow.Schema):
    changed = fields.Integer(required=True, metadata={"description": "How many drafts get another action."})
    results = fields.List(
        fields.Nested(OutcomeSchema), required=True, metadata={"description": "In the drafts' order."}
    )


@blueprint.route("")
@blueprint.response(200, PoliciesSchema)
def policies() -> dict[str, Any]:
    """List the policies with their rules."""
    return {
        "policies": [
            {"name": policy.name, "version": policy.version, "rules": policy}
            for policy in loaded_pipeline().policies.values()
        ]
    }


@blueprint.route("/simulate", methods=["POST"])
@may_refuse_the_body
@refused_when_full
@blueprint.arguments(SimulationSchema())
@blueprint.response(200, SimulatedSchema)
def simulate(asked: dict[str, Any]) -> dict[str, Any]:
    """Decide on several drafts under two policies and tell which verdicts change."""
    pipeline = loaded_pipeline()
    pair = [pipeline.policy(asked[name]) for name in ("before", "after")]
    entries: list[Draft | marshmallow.ValidationError] = asked["drafts"]
    drafts = [entry for entry in entries if isinstance(entry, Draft)]

    def replay(call: Call) -> list[dict[str, Any]]:
        verdicts = (pipeline.decide_under(pair, draft, call) for draft in drafts)
        return [
            {"before": render_verdict(old), "after": render_verdict(new), "changed": old.action != new.action}
            for old, new in verdicts
        ]

    outcomes = do_work(len(drafts), replay) if drafts else []
    ready = iter(outcomes)
    return {
        "changed": sum(outcome["changed"] for outcome in outcomes),
        "results": [
            next(ready)
            if isinstance(entry, Draft)
            else {"problem": problem(INVALID_FIELDS, pointers(entry.normalized_messages(), f"/drafts/{index}"))}
            for index, entry in enumerate(entries)
        ],
    }


def describe_rules(api: Api, pipeline: Pipeline) -> None:
    """Tell in the document what marshmallow cannot: which fields of a rule go together, and how cues are named."""
    rule = api.spec.components.schemas["Rule"]
    rule["properties"]["cue"]["enum"] = sorted(cue_names(tuple(cue.id for _, cue in pipeline.cues())))
    limited = {"anyOf": [{"required": ["at_least"]}, {"required": ["at_most"]}]}
    rule["oneOf"] = [
        {"required": ["cue"], "not": {"anyOf": [{"required": [name]} for name in rule["properties"] if name != "cue"]}},
        {"required": ["score"], "not": {"required": ["weights"]}, **limited},
        {"required": ["weights"], "not": {"required": ["score"]}, **limited},
    ]
