"""RFC 9457 problems: one table says what can go wrong, and makes both answers and OpenAPI.

A problem never repeats the caller's text nor an exception's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import marshmallow
import regex
import structlog
from flask import Response, g, json
from flask_smorest import Api
from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine, ParseException
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from softanswer.api import metrics
from softanswer.domain import Full, SoftanswerError, UnknownHint, UnknownPolicy

CONTENT_TYPE = "application/problem+json"
_SURROGATE = regex.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the problem table."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        return f"urn:softanswer:problem:{self.slug}"


INVALID_FIELDS = Kind("invalid-fields", 422, "Some fields are not valid.")
NO_SUCH_HINT = Kind("no-such-hint", 409, "The report of this draft has no such hint, or none with words to apply.")
FULL = Kind("full", 503, "Too much waits already. Try again in a moment.")
NOT_HTTP = Kind("not-http", 400, "The request is not well-formed HTTP.")
INTERNAL = Kind("internal", 500, "Something went wrong on our side.")

BY_STATUS: Mapping[int, Kind] = {
    kind.status: kind
    for kind in (
        Kind("not-json", 400, "The body is not valid JSON in UTF-8."),
        Kind("key-needed", 401, "This needs an API key: none was sent, or not one that works here."),
        Kind("scope-needed", 403, "This API key is not for this."),
        Kind("not-found", 404, "There is nothing here."),
        Kind("method-not-allowed", 405, "This address does not take this method."),
        Kind("too-large", 413, "The body is larger than this service takes."),
        Kind("path-too-long", 414, "The path and query are longer than this service takes."),
        Kind("wrong-content-type", 415, "The body must be sent as application/json."),
        Kind("expectation-failed", 417, "The only expectation that can be met is 100-continue."),
        INVALID_FIELDS,
        NO_SUCH_HINT,
        Kind("over-limit", 429, "More than the rate limit allows; Retry-After says when there is room again."),
        Kind("headers-too-large", 431, "The headers are more or longer than this service takes."),
        INTERNAL,
        FULL,
    )
}
# What a caller can be told of an exception of ours: its row, and the fields at fault.
BY_EXCEPTION: Mapping[type[SoftanswerError], tuple[Kind, Mapping[str, str]]] = {
    UnknownHint: (NO_SUCH_HINT, {"/apply": "Each must be a hint of the report that has words to apply."}),
    Full: (FULL, {}),
    UnknownPolicy: (INVALID_FIELDS, {"/policy": "No policy has this name; GET /v1/info lists them."}),
}
# What gunicorn finds wrong with a request, before or while the application reads it.
_UNREADABLE: Mapping[type[ParseException], Kind] = {
    LimitRequestLine: BY_STATUS[414],
    ExpectationFailed: BY_STATUS[417],
    LimitRequestHeaders: BY_STATUS[431],
}


class FaultSchema(marshmallow.Schema):
    """One wrong field."""

    pointer = fields.String(required=True, metadata={"description": "JSON pointer (RFC 6901) into the request."})
    detail = fields.String(required=True)


class ProblemSchema(marshmallow.Schema):
    """A problem as in RFC 9457."""

    type = fields.String(required=True, metadata={"description": "A URN that names the kind of problem."})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String()
    request_id = fields.String(metadata={"description": "Quote it when you ask about a 500."})
    errors = fields.List(fields.Nested(FaultSchema))


def problem(kind: Kind, faults: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make the body of a problem; `faults` maps JSON pointers to what is wrong there."""
    body: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
    if faults:
        body["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in faults.items()]
    if kind is INTERNAL:
        body["request_id"] = g.request_id
    return body


def pointers(messages: Any, at: str = "") -> dict[str, str]:
    """Flatten marshmallow's messages to JSON pointers."""
    return dict(_pointers(messages, at))


def _pointers(messages: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            step = _SURROGATE.sub("\ufffd", str(key)).replace("~", "~0").replace("/", "~1")
            yield from _pointers(value, at if key == "_schema" else f"{at}/{step}")
    elif isinstance(messages, list):
        yield at, " ".join(map(str, messages))
    else:
        yield at, str(messages)


class ProblemApi(Api):
    """flask-smorest's Api with problem+json for every error."""

    ERROR_SCHEMA = ProblemSchema

    def _register_responses(self) -> None:
        """Document the rows of the problem table, and any other error as the default."""
        documented = {HTTPStatus(kind.status).name: kind.title for kind in BY_STATUS.values()}
        for name, title in {**documented, "DEFAULT_ERROR": "Any other problem."}.items():
            response = {"description": title, "content": {CONTENT_TYPE: {"schema": ProblemSchema}}}
            self.spec.components.response(name, response, lazy=True)

    def _register_error_handlers(self) -> None:
        super()._register_error_handlers()
        self._app.register_error_handler(SoftanswerError, answer_domain_error)
        self._app.register_error_handler(ParseException, answer_unreadable)
        self._app.register_error_handler(Exception, answer_crash)

    def handle_http_exception(self, error: HTTPException) -> Response:
        return answer_http_exception(error)


def answer(error: Exception) -> Response:
    """Answer for anything raised; a protocol with errors of its own puts this into their shape."""
    if isinstance(error, HTTPException):
        return answer_http_exception(error)
    if isinstance(error, ParseException):
        return answer_unreadable(error)
    return answer_domain_error(error) if isinstance(error, SoftanswerError) else answer_crash(error)


def answer_http_exception(error: HTTPException) -> Response:
    kind = BY_STATUS.get(error.code or 500)
    if kind is None:
        status = HTTPStatus(error.code or 500)
        kind = Kind(status.phrase.lower().replace(" ", "-"), status, status.phrase)
    # By where they were sent, which is one place: the JSON or the form.
    messages = (getattr(error, "data", None) or {}).get("messages", {})
    faults = pointers(next(iter(messages.values()), {}))
    response = _answer(kind, faults if kind is INVALID_FIELDS else None)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "WWW-Authenticate"):
            response.headers[name] = value
    return response


def answer_domain_error(error: SoftanswerError) -> Response:
    if type(error) not in BY_EXCEPTION:
        return answer_crash(error)
    return _answer(*BY_EXCEPTION[type(error)])


def unreadable(error: ParseException) -> Kind:
    """Find the row of the problem table for a request that is not well-formed HTTP."""
    return _UNREADABLE.get(type(error), NOT_HTTP)


def answer_unreadable(error: ParseException) -> Response:
    return _answer(unreadable(error))


def answer_crash(error: Exception) -> Response:
    """Answer 500 and log where it happened, without the exception's text, which may hold a draft."""
    frames = []
    trace = error.__traceback__
    while trace:
        frames.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    structlog.get_logger().error("crash", exception=type(error).__name__, frames=frames[-8:], request_id=g.request_id)
    return _answer(INTERNAL)


def _answer(kind: Kind, faults: Mapping[str, str] | None = None) -> Response:
    metrics.PROBLEMS.labels(kind.slug).inc()
    response = Response(json.dumps(problem(kind, faults)), kind.status, content_type=CONTENT_TYPE)
    if kind is FULL:
        response.headers["Retry-After"] = "1"
    return response
