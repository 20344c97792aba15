"""POST /v1/score and /v1/score/batch: JSON -> Draft -> Report -> JSON."""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar, cast

import marshmallow
from flask import Response, current_app, g, jsonify, request
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from softanswer.api import metrics
from softanswer.api.problems import INVALID_FIELDS, pointers, problem
from softanswer.api.render import render, render_rewriting
from softanswer.api.schemas import (
    BatchResultSchema,
    BatchSchema,
    DraftSchema,
    ReportSchema,
    RewriteSchema,
    RewrittenSchema,
)
from softanswer.api.security import REQUIREMENT
from softanswer.api.work import Work
from softanswer.cues.files import TAGS
from softanswer.domain import Draft, Full, Report
from softanswer.pipeline import Call, Pipeline
from softanswer.receipts import SigningKeys

T = TypeVar("T")


class JsonParser(FlaskParser):
    """webargs' parser, strict about what it is given."""

    def load_json(self, req: Any, schema: Any) -> Any:
        if not req.is_json:
            raise UnsupportedMediaType
        # gunicorn ends a body where its client left; what was cut off there may still be JSON.
        if len(req.get_data()) < (req.content_length or 0):
            raise BadRequest
        try:
            return super().load_json(req, schema)
        except (RecursionError, ValueError):  # nested too deep, or a number of thousands of digits
            raise BadRequest from None


class ScoreBlueprint(Blueprint):
    ARGUMENTS_PARSER = JsonParser()


blueprint = ScoreBlueprint("score", __name__, url_prefix="/v1", description="Score drafts before they are published.")


def loaded_pipeline() -> Pipeline:
    return cast(Pipeline, current_app.extensions["softanswer.pipeline"])


def signing_keys() -> SigningKeys | None:
    """The keys that the running application signs with; None: it signs nothing."""
    return cast("SigningKeys | None", current_app.extensions["softanswer.signing_keys"])


def _for_reader(draft: Draft) -> Draft:
    """Hints are in the language that the request names, else in the one that its reader prefers."""
    told = LanguageAccept([(tag, q) for tag, q in request.accept_languages if tag != "*"])
    return draft if draft.hint_language else replace(draft, hint_language=told.best_match(TAGS))


def refused_when_full(view: Callable[..., T]) -> Callable[..., T]:
    """Refuse at once, before the body is read, where nothing more is taken on: that must cost little."""

    @functools.wraps(view)
    def first(*args: Any, **kwargs: Any) -> T:
        if _work().full:
            raise Full
        return view(*args, **kwargs)

    return first


def _work() -> Work:
    return cast(Work, current_app.extensions["softanswer.work"])


def do_work(drafts: int, task: Callable[[Call], T]) -> T:
    """Do a task when its turn comes. Raises `Full`."""
    work = _work()
    call = Call(owner=g.key.id if g.key else "")

    def begin() -> T:
        metrics.WAITED.observe(time.monotonic() - call.started)
        metrics.PERMITS.set(work.taken)
        return task(call)

    # The thread that works must know whose request it works for: traces do.
    around = contextvars.copy_context()
    try:
        return work.do(drafts, lambda: around.run(begin))
    finally:
        metrics.PERMITS.set(work.taken)


def report_on(drafts: list[Draft]) -> list[Report]:
    """Report on drafts when their turn comes, and count them. Raises `Full`."""
    pipeline = loaded_pipeline()
    asked = [_for_reader(draft) for draft in drafts]
    reports = do_work(len(asked), lambda call: pipeline.run(asked, call)) if asked else []
    for report in reports:
        metrics.count(report)
    return reports


def _run(drafts: list[Draft]) -> list[dict[str, Any]]:
    return [render(report, loaded_pipeline().versions, signing_keys()) for report in report_on(drafts)]


_READER = blueprint.doc(
    parameters=[
        {
            "in": "header", "name": "Accept-Language", "schema": {"type": "string"},
            "description": "The language of the hints where `hint_language` is null; else it is the draft's.",
        }
    ]
)  # fmt: skip


def may_refuse_the_body(view: Any) -> Any:
    """Document what a request with a body can be refused for, whatever it asks."""
    for status in (400, 401, 403, 413, 415, 429, 503):
        view = blueprint.alt_response(status, HTTPStatus(status).name)(view)
    return blueprint.doc(security=REQUIREMENT)(view)


@blueprint.route("/score", methods=["POST"])
@_READER
@may_refuse_the_body
@refused_when_full
@blueprint.arguments(DraftSchema())
@blueprint.response(200, ReportSchema)
def score(draft: Draft) -> Response:
    """Score one draft."""
    return jsonify(_run([draft])[0])  # plain data: to dump it once more by the schema costs a tenth of the request


@blueprint.route("/rewrite", methods=["POST"])
@_READER
@may_refuse_the_body
@refused_when_full
@blueprint.arguments(RewriteSchema())
@blueprint.alt_response(409, HTTPStatus.CONFLICT.name)
@blueprint.response(200, RewrittenSchema)
def rewrite(asked: dict[str, Any]) -> Response:
    """Apply hints to a draft and score it again."""
    pipeline, draft = loaded_pipeline(), _for_reader(asked["draft"])
    # It is scored before and after.
    rewriting = do_work(2, lambda call: pipeline.rewrite(draft, asked["chosen"], call))
    return jsonify(render_rewriting(rewriting, pipeline.versions, signing_keys()))


@blueprint.route("/score/batch", methods=["POST"])
@_READER
@may_refuse_the_body
@refused_when_full
@blueprint.arguments(BatchSchema())
@blueprint.response(200, BatchResultSchema)
def score_batch(batch: dict[str, Any]) -> Response:
    """Score several drafts at once; a bad draft gets a problem in its place and spares the others."""
    entries: list[Draft | marshmallow.ValidationError] = batch["drafts"]
    reports = iter(_run([entry for entry in entries if isinstance(entry, Draft)]))
    results = [
        {"report": next(reports)}
        if isinstance(entry, Draft)
        else {"problem": problem(INVALID_FIELDS, pointers(entry.normalized_messages(), f"/drafts/{index}"))}
        for index, entry in enumerate(entries)
    ]
    return jsonify(results=results)
