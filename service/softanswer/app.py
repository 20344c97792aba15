"""create_app: the only place that wires the parts together."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable
from http import HTTPMethod
from pathlib import Path

import regex
import structlog
from flask import Flask, Response, g, request

from softanswer import __version__, hints
from softanswer.api import (
    languagetool,
    meta,
    metrics,
    perspective,
    playground,
    policies,
    receipts,
    score,
    security,
    tracing,
)
from softanswer.api.problems import ProblemApi
from softanswer.api.work import Work
from softanswer.cues.context import CHANNELS_FILE, load_channels
from softanswer.cues.files import ROOT, load_languages
from softanswer.cues.matching import Matcher, all_foldings
from softanswer.encoder.cache import Embeddings
from softanswer.encoder.model import Model
from softanswer.pipeline import Pipeline
from softanswer.policy import check_cue_names, load_policies
from softanswer.receipts import SigningKeys
from softanswer.scorers.calibration import load_calibration
from softanswer.settings import Settings

_REQUEST_ID = regex.compile(r"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context: version, trace, parent span, flags; neither id may be all zeros.
_TRACEPARENT = regex.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")


def build_pipeline(settings: Settings) -> Pipeline:
    """Load the data and the model. Raises `DataFault` or OSError where something is wrong with them."""
    languages = load_languages()
    foldings = all_foldings(languages.values())
    book = hints.load_book(ROOT, languages)
    hints.check_hint_names(book, languages.values())
    # Heads that were trained for another encoder bring a calibration of their own.
    own = {tag: settings.model / "calibration" / tag for tag in languages}
    calibrated = {tag: own[tag] if own[tag].exists() else ROOT / tag for tag in languages}
    model = Model.load(settings.model)
    pipeline = Pipeline(
        languages=languages,
        matchers={tag: Matcher(language, foldings) for tag, language in languages.items()},
        calibrations={tag: load_calibration(folder) for tag, folder in calibrated.items()},
        model=model,
        embeddings=Embeddings(model, settings.cache_bytes, metrics.count_lookup),
        observe=_observe_stage,
        book=book,
        policies=load_policies(),
        channels=load_channels(),
        data_versions={
            "service": __version__,
            "cues": _digest((CHANNELS_FILE, *(p for p in ROOT.rglob("*.yaml") if p.name != "calibration.yaml"))),
            "calibration": _digest(folder / "calibration.yaml" for folder in calibrated.values()),
        },
    )
    check_cue_names(pipeline.policies.values(), tuple(cue.id for _, cue in pipeline.cues()))
    return pipeline


def _observe_stage(stage: str, seconds: float) -> None:
    metrics.observe_stage(stage, seconds)
    tracing.observe_stage(stage, seconds)


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def create_app(settings: Settings | None = None, pipeline: Pipeline | None = None) -> Flask:
    """Make the application. What is not given is read from the environment and the bundle."""
    settings = settings or Settings.from_environment()
    app = Flask("softanswer", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        API_TITLE="Softanswer",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["softanswer.settings"] = settings
    app.extensions["softanswer.pipeline"] = pipeline or build_pipeline(settings)
    app.extensions["softanswer.signing_keys"] = SigningKeys(settings.signing_keys) if settings.signing_keys else None
    app.extensions["softanswer.work"] = Work(settings.permits)
    _configure_logging(settings)
    app.before_request(_begin)
    tracing.install(app)
    app.after_request(_finish)
    security.guard(app, settings)
    api = ProblemApi(app)
    for name, scheme in security.SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    for part in (score, policies, receipts, meta, languagetool, perspective):
        api.register_blueprint(part.blueprint)
    policies.describe_rules(api, app.extensions["softanswer.pipeline"])
    meta.add_pages(app)
    playground.add_playground(app)
    return app


def _configure_logging(settings: Settings) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
    )


def _begin() -> None:
    told = request.headers.get("X-Request-ID", "")
    g.request_id = told if _REQUEST_ID.fullmatch(told) else uuid.uuid4().hex
    traced = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    g.trace, flags = traced.groups() if traced else (uuid.uuid4().hex, "00")
    g.traceparent = f"00-{g.trace}-{uuid.uuid4().hex[:16]}-{flags}"
    g.started = time.perf_counter()


def _finish(response: Response) -> Response:
    """Count and log a request: what, how long, how much; never what was written in it."""
    seconds = time.perf_counter() - g.started
    endpoint = request.endpoint or "none"
    metrics.REQUESTS.labels(endpoint, response.status_code).inc()
    metrics.SECONDS.labels(endpoint).observe(seconds)
    structlog.get_logger().info(
        "request",
        endpoint=endpoint,
        # Whatever word stands first in a request is its method.
        method=request.method if request.method in HTTPMethod.__members__ else "other",
        status=response.status_code,
        ms=round(seconds * 1000, 2),
        bytes_in=request.content_length or 0,
        request_id=g.request_id,
        trace_id=g.trace,
        key=g.key.id if g.get("key") else None,
    )
    response.headers["X-Request-ID"] = g.request_id
    response.headers["traceparent"] = g.traceparent
    return response
