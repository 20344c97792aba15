"""Receipts: a signed note of what was said of a draft, which anyone can check with the public keys.

The keys are a private JWK Set (RFC 7517) in a file, the newest first: it signs, the others are
published until the last receipt that they signed has expired. The file is read at each use, so that
a new key counts at once in every process; that and the signature take 0.1 ms.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from softanswer.domain import KeysFault

# A week: as long as what was approved waits to be published.
VALID_S = 7 * 24 * 3600
_ALGORITHM = "EdDSA"
_PUBLIC = ("kty", "crv", "x", "kid", "alg", "use")
_CLAIMS = ("content_hash", "verdict", "policy", "read_as", "versions", "iat", "exp")

Fault = Literal["not_ours", "expired", "other_draft", "other_policy"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a check; `claims` where the receipt is ours and has not expired, good or not for this draft."""

    fault: Fault | None
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The signing keys in one file. Every method raises `KeysFault` where the file cannot be used."""

    path: Path

    def create(self) -> str:
        """Make the key that signs from now on and return its id. The file is made where there is none."""
        private = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
        kid = secrets.token_hex(8)
        named = {"kid": kid, "alg": _ALGORITHM, "use": "sig", "created": int(time.time())}
        kept = _needed([private | named, *(self._read() if self.path.exists() else ())])
        try:
            # In its place at once, whole, and for its owner alone to read.
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
                json.dump({"keys": kept}, file, indent=2)
            Path(file.name).replace(self.path)
        except OSError as error:
            raise self._fault(error) from error
        return kid

    def published(self) -> list[dict[str, Any]]:
        """List the public keys, as JWKs, that receipts still valid may be signed with."""
        return [{name: key[name] for name in _PUBLIC} for key in _needed(self._read())]

    def sign(
        self, content_hash: str, verdict: str, policy: str, read_as: Mapping[str, str], versions: Mapping[str, str]
    ) -> str:
        """Make the receipt of a verdict: a JWT (RFC 7519) that is valid for `VALID_S`.

        `read_as` is the kind, format and language that the text was read as.
        """
        key, now = self._read()[0], int(time.time())
        values = (content_hash, verdict, policy, dict(read_as), dict(versions), now, now + VALID_S)
        claims = dict(zip(_CLAIMS, values, strict=True))
        return jwt.encode(claims, self._loaded(key), _ALGORITHM, headers={"kid": key["kid"]})

    def check(self, receipt: str, content_hash: str, policy: str) -> Checked:
        """Tell whether a receipt is ours, and for this text and this policy."""
        keys = {key["kid"]: key for key in self._read()}
        try:
            key = keys.get(jwt.get_unverified_header(receipt).get("kid", ""))
            if key is None:
                return Checked("not_ours")
            # `iat` is not held against this machine's clock: another may have signed.
            options: Any = {"require": list(_CLAIMS), "verify_iat": False}
            claims = jwt.decode(receipt, self._loaded(key), [_ALGORITHM], options=options)
        except jwt.ExpiredSignatureError:
            return Checked("expired")
        except (jwt.InvalidTokenError, RecursionError):  # its header may be nested too deep
            return Checked("not_ours")
        if claims["content_hash"] != content_hash:
            return Checked("other_draft", claims)
        return Checked(None if claims["policy"] == policy else "other_policy", claims)

    def _read(self) -> list[dict[str, Any]]:
        try:
            keys = json.loads(self.path.read_text(encoding="utf-8"))["keys"]
            if not keys or not all({*_PUBLIC, "d", "created"} <= key.keys() for key in keys):
                raise ValueError("a key is missing, or part of one")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._fault(error) from error
        return list(keys)

    def _loaded(self, key: Mapping[str, Any]) -> jwt.PyJWK:
        try:
            return jwt.PyJWK.from_dict(dict(key))
        except (jwt.PyJWTError, ValueError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> KeysFault:
        # Only the kind of the error is told, as its text may hold a piece of the file.
        return KeysFault(f"{self.path} cannot be used as a file of signing keys: {type(error).__name__}")


def content_hash(text: str) -> str:
    """Hash a text as submitted: what a receipt and a report know it by."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _needed(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the keys whose last receipt has expired: each signed until the next was made."""
    made = [key["created"] for key in keys]
    return keys[:1] + [key for key, next_made in zip(keys[1:], made, strict=False) if next_made + VALID_S > time.time()]
