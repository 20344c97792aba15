"""Traces, as a collector gets them."""

import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from softanswer.api import tracing
from softanswer.app import create_app
from softanswer.settings import InvalidSettings, Settings

MARKER = "zanzibarmarker"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collected(monkeypatch):
    """What a collector at the set endpoint has got."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(tracing, "_provider", None)
    yield bodies
    server.shutdown()
    server.server_close()


def spans(bodies):
    return [
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_request_is_a_span_of_its_caller_s_trace_with_its_stages_below(pipeline, collected):
    client = create_app(Settings(), pipeline).test_client()
    response = client.post(
        f"/v1/score?key={MARKER}",
        json={"text": f"{MARKER} should have called.", "context": {"in_reply_to": MARKER}},
        headers={"traceparent": f"00-{TRACE}-{PARENT}-01"},
    )
    assert response.status_code == 200
    tracing.flush()
    by_name = {span.name: span for span in spans(collected)}
    assert by_name.keys() == {"score.score", "analyse", "score", "hint", "measure"}
    request = by_name.pop("score.score")
    assert request.parent_span_id.hex() == PARENT
    assert response.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert {a.key: a.value.int_value for a in request.attributes}["http.response.status_code"] == 200
    for span in by_name.values():
        assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, request.span_id)
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    assert MARKER.encode() not in b"".join(collected)


def test_without_the_extra_the_start_says_what_is_missing(pipeline, collected, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSettings, match=r"softanswer\[otel\]"):
        create_app(Settings(), pipeline)


def test_without_an_endpoint_nothing_is_traced(pipeline, monkeypatch):
    monkeypatch.setattr(tracing, "_provider", None)
    for name in tracing._ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert create_app(Settings(), pipeline).test_client().get("/healthz").status_code == 200
    assert tracing._provider is None
