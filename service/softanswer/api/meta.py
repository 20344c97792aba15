"""What the service says about itself: cues, languages, limits, health, metrics, documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import marshmallow
import swagger_ui_bundle
from flask import Response, send_from_directory
from flask_smorest import Blueprint
from marshmallow import fields

from softanswer.api import metrics
from softanswer.api.schemas import VersionsSchema, settings
from softanswer.api.score import loaded_pipeline
from softanswer.domain import CHECKS, Cue

blueprint = Blueprint("meta", __name__, description="What the service says about itself.")


class CueSchema(marshmallow.Schema):
    id = fields.String(required=True)
    language = fields.String(required=True, allow_none=True, metadata={"description": "null: every language."})
    weight = fields.Float(required=True)
    hint = fields.String(required=True)
    source = fields.String(required=True)
    kinds = fields.List(fields.String(), required=True)
    match = fields.List(fields.String(), required=True)
    no_match = fields.List(fields.String(), required=True)


class CuesSchema(marshmallow.Schema):
    cues = fields.List(fields.Nested(CueSchema), required=True)


class LanguageInfoSchema(marshmallow.Schema):
    tag = fields.String(required=True)
    name = fields.String(required=True)
    direction = fields.String(required=True)
    cues = fields.Integer(required=True)
    encoder = fields.Boolean(required=True, metadata={"description": "Whether the model reads this language."})


class LanguagesSchema(marshmallow.Schema):
    languages = fields.List(fields.Nested(LanguageInfoSchema), required=True)


class LimitsSchema(marshmallow.Schema):
    max_chars = fields.Integer(required=True)
    max_body_bytes = fields.Integer(required=True)
    max_batch = fields.Integer(required=True)
    max_thread = fields.Integer(required=True)
    max_recent_posts = fields.Integer(required=True)
    max_topics = fields.Integer(required=True)
    permits = fields.Integer(required=True, metadata={"description": "Drafts in work or waiting, in each process."})


class InfoSchema(marshmallow.Schema):
    name = fields.String(required=True)
    versions = fields.Nested(VersionsSchema, required=True)
    checks = fields.List(fields.String(), required=True)
    policies = fields.List(fields.String(), required=True)
    limits = fields.Nested(LimitsSchema, required=True)


class StatusSchema(marshmallow.Schema):
    status = fields.String(required=True)


def _cue(cue: Cue, language: str | None) -> dict[str, Any]:
    return {name: getattr(cue, name) for name in CueSchema().fields if name != "language"} | {"language": language}


@blueprint.route("/v1/cues")
@blueprint.response(200, CuesSchema)
def cues() -> dict[str, Any]:
    """List every cue with its weight, source and examples."""
    return {"cues": [_cue(cue, tag) for tag, cue in loaded_pipeline().cues()]}


@blueprint.route("/v1/languages")
@blueprint.response(200, LanguagesSchema)
def languages() -> dict[str, Any]:
    """List the supported languages."""
    pipeline = loaded_pipeline()
    return {
        "languages": [
            {
                "tag": tag,
                "name": language.name,
                "direction": language.direction,
                "cues": len(language.cues),
                "encoder": tag in pipeline.model.languages,
            }
            for tag, language in pipeline.languages.items()
        ]
    }


@blueprint.route("/v1/info")
@blueprint.response(200, InfoSchema)
def info() -> dict[str, Any]:
    """Tell versions, limits and policies."""
    pipeline, configured = loaded_pipeline(), settings()
    return {
        "name": "softanswer",
        "versions": pipeline.versions,
        "checks": list(CHECKS),
        "policies": [policy.id for policy in pipeline.policies.values()],
        "limits": {name: getattr(configured, name) for name in LimitsSchema().fields},
    }


@blueprint.route("/healthz")
@blueprint.response(200, StatusSchema)
def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@blueprint.route("/readyz")
@blueprint.response(200, StatusSchema)
def readyz() -> dict[str, str]:
    """Say that drafts can be scored: the model is loaded before the first worker starts."""
    return {"status": "ready"}


# --- pages, not part of the OpenAPI document -------------------------------------------------


_DOCS = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Softanswer API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"><div id="ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></html>"""
_START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", validatorUrl: null});'


def add_pages(app: Any) -> None:
    """Add the pages: metrics, and the documentation from a bundle that is installed, not fetched."""
    app.add_url_rule("/metrics", "metrics", metrics.expose)
    app.add_url_rule("/docs", "docs", lambda: _DOCS)
    app.add_url_rule("/docs/start.js", "docs_start", lambda: Response(_START, content_type="text/javascript"))
    assets = Path(swagger_ui_bundle.swagger_ui_path)
    app.add_url_rule("/docs/assets/<path:name>", "docs_assets", lambda name: send_from_directory(assets, name))
