"""The LanguageTool HTTP protocol: its clients underline our hints.

Rule ids are the ids of our cues, categories what they begin with. Errors are plain text, as
LanguageTool's are. Nothing here scores: a form becomes a draft, a report becomes matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

import marshmallow
from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest

from softanswer import __version__
from softanswer.api import problems
from softanswer.api.schemas import Written, settings
from softanswer.api.score import loaded_pipeline, refused_when_full, report_on
from softanswer.api.security import REQUIREMENT
from softanswer.cues.files import TAGS
from softanswer.datafiles import Few
from softanswer.domain import Draft, Hint, Report, Span, Text
from softanswer.text.offsets import convert

_AUTO = "auto"
_LANGUAGE = rf"^({'|'.join((_AUTO, *TAGS))})([-_][A-Za-z0-9_-]+)?$"
# How much of the text stands on each side of a match in its context, in characters, as with LanguageTool.
_AROUND = 40
_CUT = "..."
_MAX_ANNOTATIONS = 5000


class FormParser(FlaskParser):
    """webargs' parser, strict about a body that was cut off: it may still be a form."""

    def load_form(self, req: Any, schema: Any) -> Any:
        if len(req.get_data()) < (req.content_length or 0):
            raise BadRequest
        return super().load_form(req, schema)


class FormBlueprint(Blueprint):
    ARGUMENTS_PARSER = FormParser()


blueprint = FormBlueprint("languagetool", __name__, url_prefix="/v2", description="The LanguageTool protocol.")


# --- the request ---------------------------------------------------------------------------------


class _AnnotationSchema(marshmallow.Schema):
    """A piece of text, or of markup that a reader sees as `interpretAs`."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    text = Written()
    markup = Written()
    interpretAs = Written(load_default="")

    @marshmallow.validates_schema
    def _either(self, data: dict[str, Any], **_: Any) -> None:
        if ("text" in data) == ("markup" in data):
            raise marshmallow.ValidationError("Must hold either text or markup.")


class _DataSchema(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.EXCLUDE

    annotation = Few(fields.Nested(_AnnotationSchema), lambda: _MAX_ANNOTATIONS, required=True)


@dataclass(frozen=True, slots=True)
class Annotated:
    """A text with markup in it: what was sent, what a reader sees, and which of one makes which of the other.

    `starts` and `ends` are those of `Text`.
    """

    source: str
    visible: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, pieces: Iterable[Mapping[str, str]]) -> Annotated:
        source = visible = ""
        starts: list[int] = []
        ends: list[int] = []
        for piece in pieces:
            at = len(source)
            if "text" in piece:
                shown = sent = piece["text"]
                starts += range(at, at + len(sent))
                ends += range(at + 1, at + len(sent) + 1)
            else:
                shown, sent = piece["interpretAs"], piece["markup"]
                starts += [at] * len(shown)
                ends += [at + len(sent)] * len(shown)
            source, visible = source + sent, visible + shown
        return cls(source, visible, tuple(starts), tuple(ends))


class Annotations(fields.String):
    """LanguageTool's `data`: JSON that tells text from markup."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            loaded = _DataSchema().loads(super()._deserialize(value, attr, data, **kwargs))
        except (RecursionError, ValueError) as error:  # a ValidationError is one too
            if isinstance(error, marshmallow.ValidationError):
                raise
            raise marshmallow.ValidationError("Not valid JSON.") from None
        annotated = Annotated.of(cast(Mapping[str, Any], loaded)["annotation"])
        limit = settings().max_chars
        if max(len(annotated.source), len(annotated.visible)) > limit:
            raise marshmallow.ValidationError(f"Longer than {limit} characters.")
        return annotated


class Names(fields.String):
    """Names with commas between them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        told: str = super()._deserialize(value, attr, data, **kwargs)
        return frozenset(name.strip() for name in told.split(",") if name.strip())


def _names(what: str) -> Names:
    return Names(load_default=frozenset(), metadata={"description": f"{what}, with commas between them."})


def _one_of(values: Iterable[str], default: str, description: str) -> fields.String:
    return fields.String(
        load_default=default, validate=validate.OneOf(list(values)), metadata={"description": description}
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rules are asked for."""

    enabled: frozenset[str]
    enabled_categories: frozenset[str]
    disabled: frozenset[str]
    disabled_categories: frozenset[str]
    only: bool
    picky: bool

    def takes(self, hint: Hint) -> bool:
        """Whether a hint is to be told; a slight one only to those who are picky or asked for it."""
        if hint.cue in self.disabled or _belongs(hint.cue, self.disabled_categories):
            return False
        if hint.cue in self.enabled or _belongs(hint.cue, self.enabled_categories):
            return True
        return not self.only and (self.picky or hint.severity != "low")


def _belongs(cue: str, categories: Iterable[str]) -> bool:
    """Whether a cue is in a category: 'spam.bait' and 'spam' both hold 'spam.bait.vote'."""
    return any(cue.startswith(f"{category}.") for category in categories)


@dataclass(frozen=True, slots=True)
class Check:
    """What a client asks for."""

    draft: Draft
    annotated: Annotated | None
    choice: Choice


class CheckSchema(marshmallow.Schema):
    """LanguageTool's form. Fields of its that are not listed here are taken and change nothing."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    text = Written(metadata={"description": "The draft. This or `data` is required."})
    data = Annotations(
        metadata={"description": 'JSON: {"annotation": [{"text": …} or {"markup": …, "interpretAs": …}]}'}
    )
    language = fields.String(
        required=True, validate=validate.Regexp(_LANGUAGE, error="Not a language of this service, nor auto."),
        metadata={"description": "Such as en, en-US, ar, he; auto: detected.", "pattern": _LANGUAGE},
    )  # fmt: skip
    motherTongue = fields.String(
        metadata={"description": "The language of the messages, where it is one of this service; else the draft's."}
    )
    enabledRules = _names("Cues to tell in any case")
    disabledRules = _names("Cues to leave out")
    enabledCategories = _names("Categories to tell in any case")
    disabledCategories = _names("Categories to leave out")
    enabledOnly = _one_of(["true", "false", "yes", "no"], "false", "Tell nothing but what is enabled.")
    level = _one_of(["default", "picky"], "default", "picky: hints of low severity too.")
    apiKey = fields.String(
        metadata={"description": "An API key of this service, where the client cannot send it as a header."}
    )

    @marshmallow.validates_schema
    def _agrees(self, data: dict[str, Any], **_: Any) -> None:
        if ("text" in data) == ("data" in data):
            raise marshmallow.ValidationError("Either text or data is needed, and not both.")
        if data["enabledOnly"] in ("true", "yes"):
            if not (data["enabledRules"] or data["enabledCategories"]):
                raise marshmallow.ValidationError("enabledOnly needs enabledRules or enabledCategories.")
            if data["disabledRules"] or data["disabledCategories"]:
                raise marshmallow.ValidationError("Nothing can be disabled where enabledOnly is true.")

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Check:
        annotated: Annotated | None = data.get("data")
        language, reader = _tag(data["language"]), _tag(data.get("motherTongue", ""))
        draft = Draft(
            annotated.visible if annotated else data["text"],
            # The protocol cannot tell. As a reply it is held against all cues; honest marketing passes those.
            kind="reply",
            language=None if language == _AUTO else language,
            hint_language=reader if reader in TAGS else None,
        )
        choice = Choice(
            data["enabledRules"],
            data["enabledCategories"],
            data["disabledRules"],
            data["disabledCategories"],
            data["enabledOnly"] in ("true", "yes"),
            data["level"] == "picky",
        )
        return Check(draft, annotated, choice)


def _tag(code: str) -> str:
    """The language of a code that may name a region: 'en' of 'en-US' and 'en_us'."""
    return code.replace("_", "-").partition("-")[0].lower()


# --- the answer ----------------------------------------------------------------------------------


class SoftwareSchema(marshmallow.Schema):
    name = fields.String(required=True)
    version = fields.String(required=True)
    buildDate = fields.String(required=True, metadata={"description": "Always empty."})
    apiVersion = fields.Integer(required=True)
    premium = fields.Boolean(required=True)
    status = fields.String(required=True)


class DetectedSchema(marshmallow.Schema):
    name = fields.String(required=True)
    code = fields.String(required=True)
    confidence = fields.Float(required=True)


class CheckedLanguageSchema(marshmallow.Schema):
    name = fields.String(required=True)
    code = fields.String(required=True)
    detectedLanguage = fields.Nested(DetectedSchema, required=True)


class ReplacementSchema(marshmallow.Schema):
    value = fields.String(required=True)


class SurroundingsSchema(marshmallow.Schema):
    text = fields.String(required=True)
    offset = fields.Integer(required=True)
    length = fields.Integer(required=True)


class CategorySchema(marshmallow.Schema):
    id = fields.String(required=True, metadata={"description": "Such as defensiveness.deny."})
    name = fields.String(required=True)


class MatchedRuleSchema(marshmallow.Schema):
    id = fields.String(required=True, metadata={"description": "The id of the cue; /v1/cues lists most of them."})
    description = fields.String(required=True)
    issueType = fields.String(required=True)
    category = fields.Nested(CategorySchema, required=True)


class MatchSchema(marshmallow.Schema):
    """A hint. Offsets and lengths are in UTF-16 code units; with `data` they count markup too."""

    message = fields.String(required=True)
    shortMessage = fields.String(required=True)
    offset = fields.Integer(required=True)
    length = fields.Integer(required=True)
    replacements = fields.List(fields.Nested(ReplacementSchema), required=True)
    context = fields.Nested(SurroundingsSchema, required=True)
    sentence = fields.String(required=True)
    rule = fields.Nested(MatchedRuleSchema, required=True)


class MatchesSchema(marshmallow.Schema):
    software = fields.Nested(SoftwareSchema, required=True)
    language = fields.Nested(CheckedLanguageSchema, required=True)
    matches = fields.List(fields.Nested(MatchSchema), required=True)


class OfferedLanguageSchema(marshmallow.Schema):
    name = fields.String(required=True)
    code = fields.String(required=True)
    longCode = fields.String(required=True)


def _checked(check: Check, report: Report) -> dict[str, Any]:
    language = report.analysis.language
    known = loaded_pipeline().languages.get(language.tag)
    named = {"name": known.name if known else language.tag, "code": language.tag}
    return {
        "software": {
            "name": "Softanswer", "version": __version__, "buildDate": "", "apiVersion": 1,
            "premium": False, "status": "",
        },
        "language": named | {"detectedLanguage": named | {"confidence": language.confidence}},
        "matches": list(_matches(check, report)),
    }  # fmt: skip


def _matches(check: Check, report: Report) -> Iterator[dict[str, Any]]:
    """The matches that are asked for, in the order of the text."""
    text, sent = report.analysis.text, check.annotated
    if sent:
        text = replace(text, source=sent.source, starts=sent.starts, ends=sent.ends)
    for hint in sorted(filter(check.choice.takes, report.hints), key=lambda hint: hint.span):
        yield _match(hint, text)


def _match(hint: Hint, text: Text) -> dict[str, Any]:
    found = text.in_source(hint.span)
    start, end = convert(text.source, found, "utf-16")
    # An edit over markup would take it away.
    plain = text.source[found.start : found.end] == text.slice(hint.span)
    # All but the last part of a cue's name: 'spam.bait' of 'spam.bait.vote'.
    category = hint.cue.rpartition(".")[0]
    return {
        "message": hint.message,
        "shortMessage": _in_words(category),
        "offset": start,
        "length": end - start,
        "replacements": [{"value": words} for words in hint.replacements if plain],
        "context": _surroundings(hint.span, text.visible),
        "sentence": next((text.slice(s) for s in text.sentences if s.end > hint.span.start), ""),
        "rule": {
            "id": hint.cue,
            "description": _in_words(hint.cue),
            "issueType": "style",
            "category": {"id": category, "name": _in_words(category)},
        },
    }


def _in_words(name: str) -> str:
    """Write a dotted name for people: 'Defensiveness: blame customer'."""
    return name.replace(".", ": ").replace("_", " ").capitalize()


def _surroundings(span: Span, visible: str) -> dict[str, Any]:
    """The words around a match, in one line, and where it stands among them in UTF-16 code units."""
    start, end = max(span.start - _AROUND, 0), min(span.end + _AROUND, len(visible))
    before, after = _CUT if start else "", _CUT if end < len(visible) else ""
    at = len(before) - start
    words = before + visible[start:end].replace("\n", " ") + after
    offset, stop = convert(words, (span.start + at, span.end + at), "utf-16")
    return {"text": words, "offset": offset, "length": stop - offset}


# --- views ---------------------------------------------------------------------------------------


@blueprint.errorhandler(Exception)
def _in_plain_text(error: Exception) -> Response:
    """Answer in LanguageTool's shape: a line of text, and 400 for a wrong field."""
    response = problems.answer(error)
    problem = response.get_json()
    faults = [f"{fault['pointer'].lstrip('/')}: {fault['detail']}".lstrip(": ") for fault in problem.get("errors", ())]
    response.data = f"Error: {' '.join(faults) or problem['title']}"
    response.content_type = "text/plain; charset=utf-8"
    if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        response.status_code = HTTPStatus.BAD_REQUEST
    return response


def _may_be_refused(view: Any) -> Any:
    for status in (400, 401, 403, 413, 429, 503):
        told = {"schema": {"type": "string"}, "description": HTTPStatus(status).phrase, "content_type": "text/plain"}
        view = blueprint.alt_response(status, **told)(view)
    return blueprint.doc(security=REQUIREMENT)(view)


@blueprint.route("/check", methods=["POST"])
@_may_be_refused
@refused_when_full
@blueprint.arguments(CheckSchema(), location="form")
@blueprint.response(200, MatchesSchema)
def check(asked: Check) -> dict[str, Any]:
    """Check a draft, in the LanguageTool protocol."""
    return _checked(asked, report_on([asked.draft])[0])


@blueprint.route("/languages")
@blueprint.response(200, OfferedLanguageSchema(many=True))
def languages() -> list[dict[str, str]]:
    """List the languages, in the LanguageTool protocol."""
    return [{"name": data.name, "code": tag, "longCode": tag} for tag, data in loaded_pipeline().languages.items()]
