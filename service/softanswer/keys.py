"""API keys: who may call, and what for. A SQLite file holds their hashes, never the keys.

The file is read at each request, so that a key made or revoked by one process counts at once in
all others. That takes 0.1 ms, a hundredth of a score; a cache would only make revoking slower.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import regex

from softanswer.domain import KeysFault

SCOPES = ("score", "admin")

# sa_, the id, the secret. The prefix lets scanners of repositories tell a key that has leaked.
_KEY = regex.compile(r"sa_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_TABLE = """CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, scopes TEXT NOT NULL,
    digest TEXT NOT NULL, created TEXT NOT NULL, revoked TEXT
)"""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; times are ISO 8601 in UTC."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created: str
    revoked: str | None


@dataclass(frozen=True, slots=True)
class KeyStore:
    """The keys in one file. Every method raises `KeysFault` where the file cannot be used."""

    path: Path

    def create(self, name: str, scopes: Iterable[str]) -> str:
        """Make a key and return it; it cannot be had again. The file is made where there is none."""
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        with self._opened("rwc") as db:
            db.execute(_TABLE)
            db.execute(
                "INSERT INTO keys (id, name, scopes, digest, created) VALUES (?, ?, ?, ?, ?)",
                (key_id, name, " ".join(scopes), _digest(secret), _now()),
            )
        return f"sa_{key_id}_{secret}"

    def all(self) -> list[Key]:
        """List the keys, oldest first."""
        with self._opened("ro") as db:
            rows = db.execute("SELECT id, name, scopes, created, revoked FROM keys ORDER BY created, id").fetchall()
        return [_key(*row) for row in rows]

    def revoke(self, id: str) -> None:
        """Revoke a key. One that is revoked already keeps its date."""
        with self._opened("rw") as db:
            changed = db.execute("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (_now(), id))
            if not changed.rowcount:
                raise KeysFault("No key has this id; `softanswer keys list` tells them.")

    def find(self, sent: str) -> Key | None:
        """Find the key that was sent, if it is one of ours and not revoked."""
        found = _KEY.fullmatch(sent)
        if not found:
            return None
        with self._opened("ro") as db:
            row = db.execute(
                "SELECT id, name, scopes, created, revoked, digest FROM keys WHERE id = ?", (found[1],)
            ).fetchone()
        if row is None or not hmac.compare_digest(_digest(found[2]), row[-1]):
            return None
        key = _key(*row[:-1])
        return None if key.revoked else key

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; `mode` is SQLite's: ro, rw or rwc."""
        try:
            with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode={mode}", uri=True)) as db, db:
                yield db
        except sqlite3.Error as error:
            raise KeysFault(f"{self.path} cannot be used as a file of keys: {error}") from error


def _digest(secret: str) -> str:
    """Hash a secret. Slow hashes guard what people choose; 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(id: str, name: str, scopes: str, created: str, revoked: str | None) -> Key:
    return Key(id, name, tuple(scopes.split()), created, revoked)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
