"""The Perspective API's shape: its clients get our scores.

Errors are in Google's shape. What maps to what, and what does not: openapi/perspective.md.
Nothing here scores: a request becomes a draft, a report becomes attribute scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import marshmallow
from flask import Response, json
from flask_smorest import Blueprint
from marshmallow import fields, validate

from softanswer.api import problems
from softanswer.api.schemas import Truth, Written, settings
from softanswer.api.score import JsonParser, refused_when_full, report_on
from softanswer.api.security import REQUIREMENT
from softanswer.cues.files import TAGS
from softanswer.datafiles import Few
from softanswer.domain import CHECKS, DIMENSIONS, Context, Draft, Format, Report, SoftanswerError, Span
from softanswer.points import MAX_SENTENCES
from softanswer.text.offsets import convert


@dataclass(frozen=True, slots=True)
class Attribute:
    """What of ours stands behind an attribute: a check, and one dimension of it or its value."""

    check: str
    dimension: str | None = None

    def of(self, report: Report) -> float | None:
        """The attribute's value 0..1 in a report; None where it could not be judged."""
        score = next((s for s in report.scores if s.name == self.check), None)
        if score is None or self.dimension is None or score.dimensions is None:
            return score.value if score else None
        return score.dimensions[self.dimension]


ATTRIBUTES: Mapping[str, Attribute] = {
    **{check.upper(): Attribute(check) for check in CHECKS},
    **{dimension.upper(): Attribute("tone", dimension) for dimension in DIMENSIONS},
    # Theirs that can honestly be answered; the others name what is not measured here.
    "TOXICITY": Attribute("tone", "hostility"),
    "INSULT": Attribute("tone", "hostility"),
}

_PROBABILITY = "PROBABILITY"
_MAX_LANGUAGES = 20
_EMPTY = "Comment must be non-empty."
_NONE_REQUESTED = "Missing requested_attributes."
_ERROR_TYPES = {_EMPTY: "COMMENT_EMPTY", _NONE_REQUESTED: "NO_REQUESTED_ATTRIBUTES"}
_STATUSES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip


class Unscorable(SoftanswerError):
    """A comment that an attribute cannot be told of; `details` are in the protocol's shape."""

    def __init__(self, message: str, error_type: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = {"errorType": error_type, **details}


blueprint = Blueprint("perspective", __name__, url_prefix="/v1alpha1", description="The Perspective API's shape.")
blueprint.ARGUMENTS_PARSER = JsonParser()


# --- the request ---------------------------------------------------------------------------------


class _Strict(marshmallow.Schema):
    """Refuses what it does not know; null is as good as nothing, as in Google's JSON."""

    class Meta:
        unknown = marshmallow.RAISE

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        field_obj.allow_none = not field_obj.required  # what openapi.yaml tells of null

    @marshmallow.pre_load
    def _without_nulls(self, data: Any, **_: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, Mapping) else data


class TextEntrySchema(_Strict):
    text = Written(load_default="")
    type = fields.String(
        load_default="PLAIN_TEXT", validate=validate.OneOf(["TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT", "HTML"])
    )


class CommentSchema(TextEntrySchema):
    text = Written(required=True, validate=validate.Length(min=1, error=_EMPTY), error_messages={"required": _EMPTY})


class ArticleAndParentSchema(_Strict):
    article = fields.Nested(TextEntrySchema, metadata={"description": "Taken, and not read."})
    parentComment = fields.Nested(TextEntrySchema, metadata={"description": "The message that the comment answers."})


class CommentContextSchema(_Strict):
    entries = Few(
        fields.Nested(TextEntrySchema), lambda: settings().max_thread, load_default=[],
        metadata={"description": "The last is the message that the comment answers."},
    )  # fmt: skip
    articleAndParentComment = fields.Nested(ArticleAndParentSchema, load_default={})

    @marshmallow.validates_schema
    def _either(self, data: dict[str, Any], **_: Any) -> None:
        if data["entries"] and data["articleAndParentComment"]:
            raise marshmallow.ValidationError("Can have either entries or articleAndParentComment, not both.")


class RequestedSchema(_Strict):
    scoreType = fields.String(
        load_default=_PROBABILITY,
        validate=validate.OneOf(["SCORE_TYPE_UNSPECIFIED", _PROBABILITY], error="Only PROBABILITY is supported."),
    )
    scoreThreshold = fields.Float(
        load_default=0.0, metadata={"description": "What lies below it is left out of the answer."}
    )


class RequestedAttributesSchema(marshmallow.Schema.from_dict({n: fields.Nested(RequestedSchema) for n in ATTRIBUTES})):  # type: ignore[misc]
    """The attributes to tell; see openapi/perspective.md for what stands behind each."""

    error_messages = {"unknown": "Unknown requested attribute."}


class AnalyzeSchema(_Strict):
    """An AnalyzeCommentRequest."""

    comment = fields.Nested(CommentSchema, required=True, error_messages={"required": _EMPTY})
    context = fields.Nested(CommentContextSchema, load_default={"entries": [], "articleAndParentComment": {}})
    requestedAttributes = fields.Nested(
        RequestedAttributesSchema, required=True, error_messages={"required": _NONE_REQUESTED},
        validate=validate.Length(min=1, error=_NONE_REQUESTED), metadata={"minProperties": 1},
    )  # fmt: skip
    languages = Few(
        fields.String(validate=validate.Regexp(r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$")),
        lambda: _MAX_LANGUAGES, load_default=[],
        metadata={"description": "The comment's languages. None, or several: it is detected which one it is in."},
    )  # fmt: skip
    doNotStore = Truth(metadata={"description": "Nothing is ever stored, whatever this says."})
    clientToken = fields.String(metadata={"description": "Echoed."}, validate=validate.Length(max=1000))
    sessionId = fields.String(metadata={"description": "Taken, and not read."})
    communityId = fields.String(metadata={"description": "Taken, and not read."})
    spanAnnotations = Truth(
        load_default=False, metadata={"description": f"Score each of the first {MAX_SENTENCES} sentences too."}
    )


def _draft(request: Mapping[str, Any]) -> Draft:
    languages = [_tag(code) for code in request["languages"]]
    context, comment = request["context"], request["comment"]
    parent = context["articleAndParentComment"].get("parentComment")
    answered = parent or next(reversed(context["entries"]), None)
    asked = {ATTRIBUTES[name].check for name in request["requestedAttributes"]}
    written: Format = "html" if comment["type"] == "HTML" else "plain"
    return Draft(
        comment["text"],
        # A comment is part of a conversation, whether or not we are told what it answers.
        kind="reply",
        format=written,
        language=languages[0] if len(languages) == 1 else None,
        checks=tuple(check for check in CHECKS if check in asked),
        context=Context(in_reply_to=answered["text"] if answered else ""),
        gain=False,
    )


def _tag(code: str) -> str:
    return code.partition("-")[0].lower()


def _check_languages(request: Mapping[str, Any]) -> None:
    """Raise `Unscorable` where a language is asked for that no attribute knows."""
    unknown = [code for code in request["languages"] if _tag(code) not in TAGS]
    if unknown:
        raise _unsupported(next(iter(request["requestedAttributes"])), unknown, "requestedLanguages")


def _unsupported(attribute: str, languages: list[str], which: str) -> Unscorable:
    return Unscorable(
        f"Attribute {attribute} does not support request languages: {', '.join(languages)}",
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        languageNotSupportedByAttributeError={which: languages, "attribute": attribute},
    )


# --- the answer ----------------------------------------------------------------------------------


class ValueSchema(marshmallow.Schema):
    value = fields.Float(required=True, metadata={"minimum": 0, "maximum": 1})
    type = fields.String(required=True)


class SpanScoreSchema(marshmallow.Schema):
    """A score of a stretch of the comment as sent; `begin` and `end` are in UTF-16 code units, half-open."""

    begin = fields.Integer(required=True)
    end = fields.Integer(required=True)
    score = fields.Nested(ValueSchema, required=True)


class AttributeScoresSchema(marshmallow.Schema):
    summaryScore = fields.Nested(ValueSchema, required=True)
    spanScores = fields.List(fields.Nested(SpanScoreSchema), required=True)


class AnalyzedSchema(marshmallow.Schema):
    """An AnalyzeCommentResponse."""

    attributeScores = fields.Dict(
        keys=fields.String(), values=fields.Nested(AttributeScoresSchema), required=True,
        metadata={"description": "By attribute; those below their threshold are left out."},
    )  # fmt: skip
    languages = fields.List(fields.String(), required=True)
    detectedLanguages = fields.List(fields.String(), metadata={"description": "Where no one language was asked for."})
    clientToken = fields.String()


class GoogleErrorSchema(marshmallow.Schema):
    code = fields.Integer(required=True)
    message = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "Such as INVALID_ARGUMENT."})
    details = fields.List(fields.Dict(), metadata={"description": "With an `errorType` where Perspective has one."})


class GoogleProblemSchema(marshmallow.Schema):
    """An error as Google's APIs tell it."""

    error = fields.Nested(GoogleErrorSchema, required=True)


def _value(name: str, report: Report) -> float:
    """The value of an attribute. Raises `Unscorable`."""
    attribute = ATTRIBUTES[name]
    value = attribute.of(report)
    if value is not None:
        return value
    reason = next(missing.reason for missing in report.not_evaluated if missing.check == attribute.check)
    if reason == "no_text":
        raise Unscorable("Unable to detect language", "LANGUAGE_DETECTION_FAILED")
    if reason == "no_context":
        raise Unscorable(f"Attribute {name} needs a context that the comment answers.", "INVALID_REQUEST")
    raise _unsupported(name, [report.analysis.language.tag], "detectedLanguages")


def _sentences(report: Report) -> list[tuple[Span, Report]]:
    """Score the first sentences of a comment, each by itself: its place in the comment as sent, its report."""
    analysis = report.analysis
    found = analysis.text.sentences[:MAX_SENTENCES]
    drafts = [
        replace(analysis.draft, text=analysis.text.slice(span), format="plain", language=analysis.language.tag)
        for span in found
    ]
    return list(zip(map(analysis.text.in_source, found), report_on(drafts), strict=True))


def _probability(value: float) -> dict[str, Any]:
    return {"value": round(value, 4), "type": _PROBABILITY}


def _span_scores(
    parts: list[tuple[Span, Report]], name: str, threshold: float, source: str
) -> Iterator[dict[str, Any]]:
    """The scores of the parts of a comment that are not below a threshold; a part without words has none."""
    offsets = iter(convert(source, [at for span, _ in parts for at in span], "utf-16"))
    for _, report in parts:
        begin, end = next(offsets), next(offsets)
        value = ATTRIBUTES[name].of(report)
        if value is not None and value >= threshold:
            yield {"begin": begin, "end": end, "score": _probability(value)}


# --- views ---------------------------------------------------------------------------------------


@blueprint.errorhandler(Unscorable)
def _answer_unscorable(error: Unscorable) -> Response:
    return _google(HTTPStatus.BAD_REQUEST, error.message, [error.details])


@blueprint.errorhandler(Exception)
def _in_googles_shape(error: Exception) -> Response:
    """Answer in Google's shape, with 400 for a wrong field."""
    response = problems.answer(error)
    problem = response.get_json()
    faults = {fault["pointer"].lstrip("/").replace("/", "."): fault["detail"] for fault in problem.get("errors", ())}
    message = " ".join(f"Invalid value at '{name}': {detail}" for name, detail in faults.items()) or problem["title"]
    details = [{"errorType": _error_type(name, detail)} for name, detail in faults.items()]
    status = response.status_code
    shaped = _google(HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status, message, details)
    for name in ("Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            shaped.headers[name] = response.headers[name]
    return shaped


def _error_type(name: str, detail: str) -> str:
    """Perspective's word for what is wrong with a field."""
    if name == "comment.text" and detail.startswith("Longer than"):
        return "COMMENT_TOO_LONG"
    return _ERROR_TYPES.get(detail, "INVALID_REQUEST")


def _google(code: int, message: str, details: list[dict[str, Any]]) -> Response:
    error = {"code": int(code), "message": message, "status": _STATUSES.get(code, "INVALID_ARGUMENT")}
    body = {"error": error | ({"details": details} if details else {})}
    return Response(json.dumps(body), code, content_type="application/json")


def _may_be_refused(view: Any) -> Any:
    for status in (400, 401, 403, 413, 415, 429, 503):
        told = {"schema": GoogleProblemSchema, "description": HTTPStatus(status).phrase}
        view = blueprint.alt_response(status, **told)(view)
    key = {"in": "query", "name": "key", "schema": {"type": "string"}, "description": "An API key of this service."}
    return blueprint.doc(security=REQUIREMENT, parameters=[key])(view)


@blueprint.route("/comments:analyze", methods=["POST"])
@_may_be_refused
@refused_when_full
@blueprint.arguments(AnalyzeSchema())
@blueprint.response(200, AnalyzedSchema)
def analyze(asked: dict[str, Any]) -> dict[str, Any]:
    """Score a comment, in the Perspective API's shape."""
    _check_languages(asked)
    draft = _draft(asked)
    report = report_on([draft])[0]
    values = {name: _value(name, report) for name in asked["requestedAttributes"]}
    parts = _sentences(report) if asked["spanAnnotations"] else [(Span(0, len(draft.text)), report)]
    scores = {}
    for name, value in values.items():
        threshold = asked["requestedAttributes"][name]["scoreThreshold"]
        if value >= threshold:
            spans = list(_span_scores(parts, name, threshold, draft.text))
            scores[name] = {"summaryScore": _probability(value), "spanScores": spans}
    tag = report.analysis.language.tag
    answer: dict[str, Any] = {"attributeScores": scores, "languages": [tag]}
    if draft.language is None:
        answer["detectedLanguages"] = [tag]
    if "clientToken" in asked:
        answer["clientToken"] = asked["clientToken"]
    return answer
