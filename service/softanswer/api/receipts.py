"""Receipts over HTTP: the public keys, and a check for those who would rather ask."""

from __future__ import annotations

from typing import Any

import marshmallow
from flask_smorest import Blueprint
from marshmallow import fields, validate

from softanswer.api.schemas import PolicyField, Strict, VersionsSchema, Written
from softanswer.api.score import ScoreBlueprint, loaded_pipeline, may_refuse_the_body, signing_keys
from softanswer.receipts import Checked, content_hash

blueprint: Blueprint = ScoreBlueprint("receipts", __name__, description="Signed receipts of verdicts.")

# Spares the service; who meets a key that the copy has not asks again, as openapi/receipts.md shows.
_CACHE = {"Cache-Control": "public, max-age=300"}


class KeySchema(marshmallow.Schema):
    """A public key (RFC 8037)."""

    kty = fields.String(required=True)
    crv = fields.String(required=True)
    x = fields.String(required=True)
    kid = fields.String(required=True)
    alg = fields.String(required=True)
    use = fields.String(required=True)


class KeySetSchema(marshmallow.Schema):
    """A JWK Set (RFC 7517)."""

    keys = fields.List(fields.Nested(KeySchema), required=True)


class ReceiptSchema(Strict):
    """A receipt, and what it is to be held against."""

    receipt = Written(required=True)
    text = Written(required=True, metadata={"description": "The draft that is about to be published."})
    policy = PolicyField(load_default="default")


class ReadAsSchema(marshmallow.Schema):
    """What a text was read as; the same words may mean less as HTML, or in another language."""

    kind = fields.String(required=True)
    format = fields.String(required=True)
    language = fields.String(required=True)


class ClaimsSchema(marshmallow.Schema):
    """What a receipt says."""

    content_hash = fields.String(required=True)
    verdict = fields.String(required=True, validate=validate.OneOf(["publish", "revise", "hold"]))
    policy = fields.String(required=True)
    read_as = fields.Nested(ReadAsSchema, required=True)
    versions = fields.Nested(VersionsSchema, required=True)
    iat = fields.Integer(required=True, metadata={"description": "When it was made, in seconds since 1970."})
    exp = fields.Integer(required=True, metadata={"description": "Until when it is valid."})


class CheckedSchema(marshmallow.Schema):
    valid = fields.Boolean(
        required=True,
        metadata={"description": "Whether it is ours and for this draft and policy; what it says is in `claims`."},
    )
    fault = fields.String(
        required=True, allow_none=True,
        validate=validate.OneOf(["not_ours", "expired", "other_draft", "other_policy"]),
    )  # fmt: skip
    claims = fields.Nested(
        ClaimsSchema, required=True, allow_none=True,
        metadata={"description": "null where it is not ours or has expired."},
    )  # fmt: skip


@blueprint.route("/.well-known/jwks.json")
@blueprint.response(200, KeySetSchema)
def jwks() -> Any:
    """Publish the keys that receipts are signed with."""
    keys = signing_keys()
    return {"keys": keys.published() if keys else []}, _CACHE


@blueprint.route("/v1/receipts/verify", methods=["POST"])
@may_refuse_the_body
@blueprint.arguments(ReceiptSchema())
@blueprint.response(200, CheckedSchema)
def verify(asked: dict[str, Any]) -> dict[str, Any]:
    """Check a receipt against a draft and a policy as it is now."""
    keys, policy = signing_keys(), loaded_pipeline().policy(asked["policy"])
    text_hash = content_hash(asked["text"])
    checked = keys.check(asked["receipt"], text_hash, policy.id) if keys else Checked("not_ours")
    return {"valid": checked.fault is None, "fault": checked.fault, "claims": checked.claims}
