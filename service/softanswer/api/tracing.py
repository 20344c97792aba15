"""Traces for OpenTelemetry: a span a request, and one a stage below it. The extra `softanswer[otel]`.

OpenTelemetry's own settings say where they go; without an endpoint there are none. Its Flask
instrumentation is not used, as that notes the query, where an API key may stand.
"""

from __future__ import annotations

import os
import time
from typing import Any

from flask import Flask, Response, g, request

from softanswer import __version__
from softanswer.settings import InvalidSettings

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_provider: Any = None


def install(app: Flask) -> None:
    """Trace what the application does, where an endpoint is set. Raises `InvalidSettings` without the extra."""
    global _provider
    if not any(map(os.environ.get, _ENDPOINTS)):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidSettings(f"{_ENDPOINTS[0]} needs OpenTelemetry: pip install 'softanswer[otel]'.") from error
    named = {"service.version": __version__, "service.name": os.environ.get("OTEL_SERVICE_NAME", "softanswer")}
    _provider = TracerProvider(resource=Resource.create(named))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    app.before_request(_begin)
    app.after_request(_describe)
    app.teardown_request(_end)


def _begin() -> None:
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    caller = TraceContextTextMapPropagator().extract({"traceparent": request.headers.get("traceparent", "")})
    g.span = _provider.get_tracer(__name__).start_span(
        request.endpoint or "none", context=caller, kind=trace.SpanKind.SERVER
    )
    g.span_token = context.attach(trace.set_span_in_context(g.span))
    told = g.span.get_span_context()
    g.trace = f"{told.trace_id:032x}"
    g.traceparent = f"00-{g.trace}-{told.span_id:016x}-{int(told.trace_flags):02x}"


def _describe(response: Response) -> Response:
    if "span" in g:  # a request that was refused first has none
        g.span.set_attribute("http.response.status_code", response.status_code)
        g.span.set_attribute("softanswer.request_id", g.request_id)
    return response


def _end(_: BaseException | None) -> None:
    from opentelemetry import context

    if "span" in g:
        context.detach(g.span_token)
        g.span.end()


def observe_stage(stage: str, seconds: float) -> None:
    """Note a stage that has just ended, below the span of its request."""
    if _provider is None:
        return
    now = time.time_ns()
    span = _provider.get_tracer(__name__).start_span(stage, start_time=now - int(seconds * 1e9))
    span.end(now)


def flush() -> None:
    """Send what is not sent yet; to be called where a process ends."""
    if _provider is not None:
        _provider.force_flush(2000)
