"""Settings, read once from the environment (`SOFTANSWER_*`). Each has a row in the README."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import regex
from environs import Env, EnvValidationError, ValidationError, validate
from limits import parse_many

from softanswer.domain import SoftanswerError
from softanswer.encoder import BUNDLED

PREFIX = "SOFTANSWER_"
# As browsers send it: no path, and in small letters. Add-ons have origins of their own.
_ORIGIN = regex.compile(r"(?:https?|(?:chrome|moz|safari-web)-extension)://[^/\s*A-Z]+")


class InvalidSettings(SoftanswerError):
    """The environment does not make sense; the message lists every fault."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may set. Sizes count characters or bytes as named."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    model: Path = BUNDLED
    max_chars: int = 20_000
    max_body_bytes: int = 1_048_576
    max_batch: int = 128
    max_thread: int = 100
    max_recent_posts: int = 100
    max_topics: int = 50
    permits: int = 16
    cache_bytes: int = 16_777_216
    log_level: str = "info"
    keys: Path | None = None
    signing_keys: Path | None = None
    open: bool = False
    rate_limit: str | None = None
    rate_store: str = "memory://"
    cors_origins: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings. Raises `InvalidSettings` with all faults at once."""
        default = cls()
        env = Env(eager=False, expand_vars=False)
        positive = validate.Range(min=1)
        with env.prefixed(PREFIX):
            values: dict[str, Any] = {
                "host": env.str("HOST", default.host),
                "port": env.int("PORT", default.port, validate=validate.Range(min=1, max=65_535)),
                "workers": env.int("WORKERS", default.workers, validate=positive),
                "model": env.path("MODEL", default.model),
                "max_chars": env.int("MAX_CHARS", default.max_chars, validate=positive),
                "max_body_bytes": env.int("MAX_BODY_BYTES", default.max_body_bytes, validate=positive),
                "max_batch": env.int("MAX_BATCH", default.max_batch, validate=positive),
                "max_thread": env.int("MAX_THREAD", default.max_thread, validate=positive),
                "max_recent_posts": env.int("MAX_RECENT_POSTS", default.max_recent_posts, validate=positive),
                "max_topics": env.int("MAX_TOPICS", default.max_topics, validate=positive),
                "permits": env.int("PERMITS", default.permits, validate=positive),
                "cache_bytes": env.int("CACHE_BYTES", default.cache_bytes, validate=validate.Range(min=0)),
                "log_level": env.str(
                    "LOG_LEVEL", default.log_level, validate=validate.OneOf(["debug", "info", "warning", "error"])
                ),
                "keys": env.path("KEYS", default.keys),
                "signing_keys": env.path("SIGNING_KEYS", default.signing_keys),
                "open": env.bool("OPEN", default.open),
                "rate_limit": env.str("RATE_LIMIT", default.rate_limit, validate=_check_rate),
                "rate_store": env.str(
                    "RATE_STORE",
                    default.rate_store,
                    validate=validate.Regexp(r"memory://$|rediss?://.", error="memory:// or redis://HOST:PORT/NUMBER."),
                ),
                "cors_origins": env.list("CORS_ORIGINS", [], subcast=str.strip, validate=_check_origins),
            }
        try:
            env.seal()
        except EnvValidationError as error:
            found = dict(error.error_messages)  # type: ignore[arg-type]
            faults = (f"{name}: {' '.join(messages)}" for name, messages in found.items())
            raise InvalidSettings("\n".join(faults)) from error
        return cls(**values | {"cors_origins": tuple(values["cors_origins"])})

    @property
    def is_on_loopback(self) -> bool:
        """Whether only programs on this machine can reach the service."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def check_access(self) -> None:
        """Raise `InvalidSettings` where strangers could call the service and nobody said so, or no key can work."""
        if self.keys and not self.keys.is_file():
            raise InvalidSettings(f"SOFTANSWER_KEYS: there is no file {self.keys}; `softanswer keys create` makes it.")
        if self.signing_keys and not self.signing_keys.is_file():
            raise InvalidSettings(
                f"SOFTANSWER_SIGNING_KEYS: there is no file {self.signing_keys}; `softanswer keys signing` makes it."
            )
        if not (self.keys or self.open or self.is_on_loopback):
            raise InvalidSettings(
                f"SOFTANSWER_HOST: on {self.host} anyone who can reach this machine could use the service, since it "
                "has no keys. Make one with `softanswer keys create` and SOFTANSWER_KEYS, listen on 127.0.0.1, or "
                "say with SOFTANSWER_OPEN=true that it is meant."
            )


def _check_rate(value: str) -> None:
    try:
        parse_many(value)
    except ValueError:
        raise ValidationError("A number of drafts and a time, such as 600/minute.") from None


def _check_origins(values: list[str]) -> None:
    if not all(map(_ORIGIN.fullmatch, values)):
        raise ValidationError("Origins with commas between them, such as https://cms.example.")
