"""POST /v1/score and /v1/score/batch: JSON -> Draft -> Report -> JSON."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

import marshmallow
from flask import current_app
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from softanswer.api import metrics
from softanswer.api.problems import INVALID_FIELDS, pointers, problem
from softanswer.api.render import render
from softanswer.api.schemas import BatchResultSchema, BatchSchema, DraftSchema, ReportSchema
from softanswer.domain import Draft, Report
from softanswer.pipeline import Pipeline


class JsonParser(FlaskParser):
    """webargs' parser, strict about what it is given."""

    def load_json(self, req: Any, schema: Any) -> Any:
        if not req.is_json:
            raise UnsupportedMediaType
        try:
            return super().load_json(req, schema)
        except (RecursionError, ValueError):  # nested too deep, or a number of thousands of digits
            raise BadRequest from None


class ScoreBlueprint(Blueprint):
    ARGUMENTS_PARSER = JsonParser()


blueprint = ScoreBlueprint("score", __name__, url_prefix="/v1", description="Score drafts before they are published.")


def _run(drafts: list[Draft]) -> list[dict[str, Any]]:
    pipeline = cast(Pipeline, current_app.extensions["softanswer.pipeline"])
    reports: list[Report] = []
    # Texts that wait for the encoder are held in memory, so a batch is worked off in pieces.
    for start in range(0, len(drafts), 32):
        reports += pipeline.run(drafts[start : start + 32])
    for report in reports:
        metrics.count(report)
    return [render(report, pipeline.versions) for report in reports]


def _may_refuse_the_body(view: Any) -> Any:
    """Document what a request with a body can be refused for before it is read."""
    for status in (400, 413, 415):
        view = blueprint.alt_response(status, HTTPStatus(status).name)(view)
    return view


@blueprint.route("/score", methods=["POST"])
@_may_refuse_the_body
@blueprint.arguments(DraftSchema)
@blueprint.response(200, ReportSchema)
def score(draft: Draft) -> dict[str, Any]:
    """Score one draft."""
    return _run([draft])[0]


@blueprint.route("/score/batch", methods=["POST"])
@_may_refuse_the_body
@blueprint.arguments(BatchSchema)
@blueprint.response(200, BatchResultSchema)
def score_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """Score several drafts at once; a bad draft gets a problem in its place and spares the others."""
    entries: list[Draft | marshmallow.ValidationError] = batch["drafts"]
    reports = iter(_run([entry for entry in entries if isinstance(entry, Draft)]))
    return {
        "results": [
            {"report": next(reports)}
            if isinstance(entry, Draft)
            else {"problem": problem(INVALID_FIELDS, pointers(entry.normalized_messages(), f"/drafts/{index}"))}
            for index, entry in enumerate(entries)
        ]
    }
