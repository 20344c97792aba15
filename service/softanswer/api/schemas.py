"""The shapes of requests and answers. The names are fixed: programs outside are written against them."""

from __future__ import annotations

from datetime import UTC
from typing import Any, cast

import marshmallow
import regex
from flask import current_app
from marshmallow import fields, validate

from softanswer.api.problems import ProblemSchema
from softanswer.cues.files import TAGS
from softanswer.datafiles import Few
from softanswer.domain import CHECKS, DEGRADED, DIMENSIONS, Brand, Context, Draft, Message, Policy, RecentPost
from softanswer.policy import ROOT as POLICIES_ROOT
from softanswer.policy import PolicySchema, cue_names, make_inline
from softanswer.settings import Settings

_TOPIC_CHARS = 500
_SURROGATE = regex.compile(r"[\ud800-\udfff]")
POLICY_NAMES = sorted(path.stem for path in POLICIES_ROOT.glob("*.yaml"))


def settings() -> Settings:
    """The settings of the running application."""
    return cast(Settings, current_app.extensions["softanswer.settings"])


def _default(name: str) -> Any:
    return Settings.__dataclass_fields__[name].default


class Written(fields.String):
    """Text that somebody wrote: bounded, without NUL and without half a surrogate pair."""

    def __init__(self, metadata: dict[str, Any] | None = None, **kwargs: Any) -> None:
        bounds = {"maxLength": _default("max_chars"), "pattern": "^[^\\u0000]*$"}
        super().__init__(metadata=bounds | (metadata or {}), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        limit = settings().max_chars
        if len(text) > limit:
            raise marshmallow.ValidationError(f"Longer than {limit} characters.")
        if "\0" in text:
            raise marshmallow.ValidationError(f"Holds a NUL character at {text.index(chr(0))}.")
        if found := _SURROGATE.search(text):
            raise marshmallow.ValidationError(f"Holds half a surrogate pair at {found.start()}.")
        return text


def up_to(setting: str, inner: fields.Field[Any]) -> Few:
    """A list that a setting bounds."""
    return Few(
        inner, lambda: int(getattr(settings(), setting)), load_default=[], metadata={"maxItems": _default(setting)}
    )


class Truth(fields.Boolean):
    """true or false, and nothing that is like them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Strict(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.RAISE


class PolicyField(fields.Field[Any]):
    """The name of a policy, or a policy of the caller's own, in the shape of `policies/default.yaml`."""

    def __init__(self, **kwargs: Any) -> None:
        shapes = [{"type": "string", "enum": POLICY_NAMES}, {"$ref": "#/components/schemas/Policy"}]
        told = "A policy by name, or its rules, as GET /v1/policies shows them."
        super().__init__(metadata={"oneOf": shapes, "description": told}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | Policy:
        if value in POLICY_NAMES:
            return cast(str, value)
        if not isinstance(value, dict):
            raise marshmallow.ValidationError(f"Must be rules, or one of: {', '.join(POLICY_NAMES)}.")
        rules = PolicySchema().load(value)
        known = cue_names(tuple(cue.id for _, cue in current_app.extensions["softanswer.pipeline"].cues()))
        faults = {
            action: {n: {"cue": ["No such cue."]} for n, rule in enumerate(made) if rule.cue and rule.cue not in known}
            for action, made in rules.items()
        }
        if any(faults.values()):
            raise marshmallow.ValidationError(faults)
        return make_inline(rules)


class MessageSchema(Strict):
    author = fields.String(required=True, validate=validate.OneOf(["customer", "brand", "other"]))
    text = Written(required=True)

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Message:
        return Message(**data)


class RecentPostSchema(Strict):
    text = Written(required=True)
    published_at = fields.AwareDateTime(
        format="iso", default_timezone=UTC, allow_none=True, load_default=None,
        metadata={"description": "ISO 8601; without an offset it is taken as UTC."},
    )  # fmt: skip

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> RecentPost:
        return RecentPost(**data)


class ContextSchema(Strict):
    in_reply_to = Written(load_default="", metadata={"description": "The message that the draft answers."})
    thread = up_to("max_thread", fields.Nested(MessageSchema))
    recent_posts = up_to("max_recent_posts", fields.Nested(RecentPostSchema))
    publish_at = fields.AwareDateTime(format="iso", default_timezone=UTC, allow_none=True, load_default=None)
    channel = Written(load_default="", validate=validate.Length(max=40), metadata={"maxLength": 40})

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Context:
        data["thread"], data["recent_posts"] = tuple(data["thread"]), tuple(data["recent_posts"])
        return Context(**data)


def _topic() -> Written:
    """A topic; the model reads each of them, so that they are bounded more closely than other texts."""
    return Written(validate=validate.Length(max=_TOPIC_CHARS), metadata={"maxLength": _TOPIC_CHARS})


class BrandSchema(Strict):
    name = Written(load_default="")
    about = Written(load_default="")
    topics = up_to("max_topics", _topic())
    audience = Written(load_default="")

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Brand:
        return Brand(**data | {"topics": tuple(data["topics"])})


class DraftSchema(Strict):
    """A draft to score. Only `text` is required."""

    text = Written(required=True, validate=validate.Length(min=1, error="Must not be empty."))
    kind = fields.String(
        validate=validate.OneOf(["reply", "post"]), allow_none=True, load_default=None,
        metadata={"description": "null: a reply if there is something it answers, else a post."},
    )  # fmt: skip
    format = fields.String(validate=validate.OneOf(["plain", "html", "markdown"]), load_default="plain")
    language = fields.String(
        validate=validate.OneOf(TAGS), allow_none=True, load_default=None,
        metadata={"description": "null: detected."},
    )  # fmt: skip
    offset_encoding = fields.String(validate=validate.OneOf(["utf-16", "code-point", "utf-8"]), load_default="utf-16")
    hint_language = fields.String(
        validate=validate.OneOf(TAGS), allow_none=True, load_default=None,
        metadata={"description": "null: the draft's."},
    )  # fmt: skip
    checks = fields.List(
        fields.String(validate=validate.OneOf(CHECKS)), load_default=list(CHECKS),
        validate=validate.Length(min=1, max=len(CHECKS)),
    )  # fmt: skip
    context = fields.Nested(ContextSchema, load_default=Context())
    brand = fields.Nested(BrandSchema, load_default=Brand())
    policy = PolicyField(load_default="default")
    mode = fields.String(
        validate=validate.OneOf(["enforce", "shadow"]), load_default="enforce",
        metadata={"description": "shadow: answers `publish`, and says in `verdict.would_be` what it would have said."},
    )  # fmt: skip
    gain = Truth(load_default=True)
    deadline_ms = fields.Integer(
        strict=True, validate=validate.Range(min=1, max=60_000), allow_none=True, load_default=None,
        metadata={"description": "What cannot be done in this time is left out and named in `degraded`."},
    )  # fmt: skip

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Draft:
        return Draft(**data | {"checks": tuple(data["checks"])})


_HINT_ID = regex.compile(r"h([1-9][0-9]?)")


class HintId(fields.String):
    """The id of a hint as reports have it ('h1'), read as the hint's index there."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        found = _HINT_ID.fullmatch(super()._deserialize(value, attr, data, **kwargs))
        if not found:
            raise marshmallow.ValidationError("Not the id of a hint.")
        return int(found[1]) - 1


class RewriteSchema(DraftSchema):
    """A draft as for /v1/score, and the hints of its report to apply."""

    apply = fields.List(
        HintId(metadata={"pattern": "^h[1-9][0-9]?$"}), allow_none=True, load_default=None,
        validate=validate.Length(max=99),
        metadata={"description": "Ids of hints with replacements; null: all of them. `gain` is always measured."},
    )  # fmt: skip

    @marshmallow.post_load
    def _make(self, data: dict[str, Any], **kwargs: Any) -> Any:
        chosen = data.pop("apply")
        return {"draft": super()._make(data, **kwargs), "chosen": chosen}


class _DraftOrFault(fields.Nested):
    """A draft, or the error that says why it is none, so that one bad draft spares the others."""

    def deserialize(self, *args: Any, **kwargs: Any) -> Draft | marshmallow.ValidationError:
        try:
            return cast(Draft, super().deserialize(*args, **kwargs))
        except marshmallow.ValidationError as error:
            return error


class BatchSchema(Strict):
    """Several drafts; the answer keeps their order."""

    drafts = Few(
        _DraftOrFault(DraftSchema), lambda: settings().max_batch, least=1, required=True,
        metadata={"minItems": 1, "maxItems": _default("max_batch")},
    )  # fmt: skip


# --- answers -------------------------------------------------------------------------------


def _probability(**kwargs: Any) -> fields.Float:
    return fields.Float(required=True, metadata={"minimum": 0, "maximum": 1}, **kwargs)


class LanguageSchema(marshmallow.Schema):
    tag = fields.String(required=True, metadata={"description": "BCP 47; 'und' where there are no letters."})
    confidence = _probability()
    direction = fields.String(required=True, validate=validate.OneOf(["ltr", "rtl"]))


class QuotedSchema(marshmallow.Schema):
    """A stretch of a text as submitted, in the offsets asked for."""

    start = fields.Integer(required=True)
    end = fields.Integer(required=True)
    quote = fields.String(required=True)


class EvidenceSchema(QuotedSchema):
    cue = fields.String(required=True)
    weight = fields.Float(required=True, metadata={"description": "Positive: raises the value."})


class ScoreSchema(marshmallow.Schema):
    value = _probability()
    label = fields.String()
    confidence = _probability()
    band = fields.String(
        required=True, metadata={"description": "low, medium, high; poor, fair, good for tone and relevance."}
    )
    to = fields.String(metadata={"description": "What relevance was held against: in_reply_to or brand."})
    dimensions = fields.Nested(marshmallow.Schema.from_dict({d: _probability() for d in DIMENSIONS}, name="Dimensions"))
    evidence = fields.List(fields.Nested(EvidenceSchema), required=True)


class HintSchema(QuotedSchema):
    id = fields.String(required=True)
    cue = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["replace", "insert", "remove", "check"]))
    severity = fields.String(required=True, validate=validate.OneOf(["low", "medium", "high"]))
    message = fields.String(required=True)
    replacements = fields.List(fields.String(), required=True)
    example = fields.String(
        required=True, allow_none=True,
        metadata={"description": "How it could sound, in the reader's language; not for this very text."},
    )  # fmt: skip
    gain = fields.Dict(
        keys=fields.String(), values=fields.Float(), allow_none=True,
        metadata={"description": "What the first replacement changes, by score; null: not measured."},
    )  # fmt: skip


class UnansweredSchema(QuotedSchema):
    """A point of the customer's that the draft leaves; offsets into the message that it answers."""


class ReasonSchema(marshmallow.Schema):
    score = fields.String()
    value = fields.Float()
    limit = fields.Float()
    cue = fields.String()


class VerdictSchema(marshmallow.Schema):
    action = fields.String(required=True, validate=validate.OneOf(["publish", "revise", "hold"]))
    policy = fields.String(
        required=True, metadata={"description": "Its name and version; inline and a digest of the rules it was given."}
    )
    reasons = fields.List(fields.Nested(ReasonSchema), required=True)
    would_be = fields.String(
        required=True, allow_none=True, validate=validate.OneOf(["publish", "revise", "hold"]),
        metadata={"description": "In shadow mode the action that was meant, for `reasons`; else null."},
    )  # fmt: skip


class NotEvaluatedSchema(marshmallow.Schema):
    check = fields.String(required=True, validate=validate.OneOf(CHECKS))
    reason = fields.String(
        required=True,
        validate=validate.OneOf(
            ["unsupported_language", "no_encoder_for_language", "no_context", "no_text", "deadline"]
        ),
    )


class VersionsSchema(marshmallow.Schema):
    service = fields.String(required=True)
    cues = fields.String(required=True)
    model = fields.String(required=True)
    calibration = fields.String(required=True)


class ReportSchema(marshmallow.Schema):
    """The answer to one draft. Offsets are half-open and point into the text as submitted."""

    id = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["reply", "post"]))
    language = fields.Nested(LanguageSchema, required=True)
    scores = fields.Nested(
        marshmallow.Schema.from_dict({name: fields.Nested(ScoreSchema) for name in CHECKS}, name="Scores"),
        required=True,
    )
    hints = fields.List(fields.Nested(HintSchema), required=True)
    unanswered = fields.List(fields.Nested(UnansweredSchema), required=True)
    verdict = fields.Nested(VerdictSchema, required=True)
    not_evaluated = fields.List(fields.Nested(NotEvaluatedSchema), required=True)
    degraded = fields.List(
        fields.String(validate=validate.OneOf(DEGRADED)), required=True,
        metadata={
            "description": "What is missing or was done in part. `relevance`, `unanswered`, `gain`: there was no time. "
            "`length`: the model reads the beginning of a text as long as this; cues are looked for in all of it."
        },
    )  # fmt: skip
    content_hash = fields.String(required=True, metadata={"description": "sha256 of the text as submitted, UTF-8."})
    receipt = fields.String(
        required=True, allow_none=True,
        metadata={"description": "A JWT that vouches for the verdict; null where not all was judged or no key signs."},
    )  # fmt: skip
    versions = fields.Nested(VersionsSchema, required=True)


class EditSchema(QuotedSchema):
    """One change."""

    hint = fields.String(required=True)
    replacement = fields.String(required=True)


class RewrittenSchema(marshmallow.Schema):
    """The draft rewritten: its new text, what was changed, and the reports before and after."""

    text = fields.String(required=True)
    diff = fields.List(fields.Nested(EditSchema), required=True)
    before = fields.Nested(ReportSchema, required=True)
    report = fields.Nested(ReportSchema, required=True)


class ResultSchema(marshmallow.Schema):
    """A report, or the problem with this draft."""

    report = fields.Nested(ReportSchema)
    problem = fields.Nested(ProblemSchema)


class BatchResultSchema(marshmallow.Schema):
    results = fields.List(fields.Nested(ResultSchema), required=True)
