"""Prometheus metrics. No label holds anything that a caller wrote."""

from __future__ import annotations

import os

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from softanswer.cues.files import TAGS
from softanswer.domain import Report

REQUESTS = Counter("softanswer_requests", "Requests answered.", ["endpoint", "status"])
SECONDS = Histogram(
    "softanswer_request_seconds", "Time to answer a request.", ["endpoint"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
STAGES = Histogram(
    "softanswer_stage_seconds", "Time of a stage of the pipeline, for one draft.", ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)  # fmt: skip
WAITED = Histogram(
    "softanswer_wait_seconds", "Time that a request waited for its turn.",
    buckets=(0.0005, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)  # fmt: skip
PERMITS = Gauge("softanswer_permits_taken", "Drafts in work or waiting.", multiprocess_mode="livesum")
PROBLEMS = Counter("softanswer_problems", "Problems answered.", ["problem"])
CACHE = Counter("softanswer_cache", "Vectors looked up in the cache.", ["outcome"])
DRAFTS = Counter("softanswer_drafts", "Drafts scored.", ["kind", "language", "verdict"])

_LANGUAGES = frozenset((*TAGS, "und"))


def observe_stage(stage: str, seconds: float) -> None:
    """Note how long a stage took."""
    STAGES.labels(stage).observe(seconds)


def count_lookup(hit: bool) -> None:
    """Count a lookup in the cache of vectors."""
    CACHE.labels("hit" if hit else "miss").inc()


def count(report: Report) -> None:
    """Count a report; unsupported languages share one label, so that labels stay few."""
    tag = report.analysis.language.tag
    DRAFTS.labels(report.analysis.kind, tag if tag in _LANGUAGES else "other", report.verdict.action).inc()


def expose() -> Response:
    """All workers' metrics, where PROMETHEUS_MULTIPROC_DIR says that there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
