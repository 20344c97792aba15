"""Prometheus metrics. No label holds anything that a caller wrote."""

from __future__ import annotations

import os

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from softanswer.cues.files import TAGS
from softanswer.domain import Report

REQUESTS = Counter("softanswer_requests", "Requests answered.", ["endpoint", "status"])
SECONDS = Histogram(
    "softanswer_request_seconds", "Time to answer a request.", ["endpoint"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
DRAFTS = Counter("softanswer_drafts", "Drafts scored.", ["kind", "language", "verdict"])

_LANGUAGES = frozenset((*TAGS, "und"))


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
