"""Settings, read once from the environment (`SOFTANSWER_*`). Each has a row in the README."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environs import Env, EnvValidationError, validate

from softanswer.domain import SoftanswerError
from softanswer.encoder import BUNDLED

PREFIX = "SOFTANSWER_"


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
    log_level: str = "info"

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
                "log_level": env.str(
                    "LOG_LEVEL", default.log_level, validate=validate.OneOf(["debug", "info", "warning", "error"])
                ),
            }
        try:
            env.seal()
        except EnvValidationError as error:
            found = dict(error.error_messages)  # type: ignore[arg-type]
            faults = (f"{name}: {' '.join(messages)}" for name, messages in found.items())
            raise InvalidSettings("\n".join(faults)) from error
        return cls(**values)
