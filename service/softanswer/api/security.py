"""Who may call, how often, and from which pages; and the headers that every answer carries.

What needs a key is told by `needed_scope` alone, so that a new POST is guarded without a word.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from softanswer.api.schemas import settings
from softanswer.keys import KeyStore
from softanswer.settings import Settings

# For OpenAPI. The empty one means that a service without keys asks for none.
SCHEMES = {
    "bearer": {
        "type": "http", "scheme": "bearer",
        "description": "A key that `softanswer keys create` printed; needed where the service has a file of keys.",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same key, as a header."},
}  # fmt: skip
REQUIREMENT: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}, {}]

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Speaks of <img> and <script> from elsewhere; pages that CORS allows are not held up by it.
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LIMIT_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, traceparent, X-Api-Key, X-Request-ID",
    "Access-Control-Max-Age": "600",
}


def guard(app: Flask, settings: Settings) -> None:
    """Put the guard before and after every view of an application."""
    app.extensions["softanswer.keys"] = KeyStore(settings.keys) if settings.keys else None
    app.after_request(_harden)
    if settings.cors_origins:
        app.after_request(_share)
    app.before_request(_identify)
    if settings.rate_limit:
        # Before the refusal, so that an address that tries keys is held up too.
        app.before_request(_price)
        _limit(app, settings.rate_limit, settings.rate_store)
    app.before_request(_refuse)


def needed_scope() -> str | None:
    """The scope that this request needs; None for what is open to all."""
    if request.method == "OPTIONS":  # a browser's preflight carries no key
        return None
    if request.endpoint == "metrics":
        return "admin"
    return "score" if request.method == "POST" else None


# --- keys --------------------------------------------------------------------------------------


def _identify() -> None:
    """Find the caller's key, and why the request is to be refused, if it is."""
    g.key, g.refusal = None, None
    store: KeyStore | None = current_app.extensions["softanswer.keys"]
    scope = needed_scope()
    if store and scope:
        g.key = store.find(_sent_key())
        g.refusal = _refusal(scope)


def _sent_key() -> str:
    told = request.authorization
    if told and told.type == "bearer":
        return told.token or ""
    if "X-Api-Key" not in request.headers:
        # Where the protocols of others have theirs.
        if request.endpoint == "perspective.analyze":
            return request.args.get("key", "")
        if request.endpoint == "languagetool.check":
            # Read as it is first, so that a body that was cut off can still be told by its length.
            request.get_data()
            return request.form.get("apiKey", "")
    return request.headers.get("X-Api-Key", "")


def _refusal(scope: str) -> HTTPException | None:
    if g.key is None:
        return Unauthorized(www_authenticate=WWWAuthenticate("bearer", {"realm": "softanswer"}))
    return None if scope in g.key.scopes else Forbidden()


def _refuse() -> None:
    if g.refusal:
        raise g.refusal


# --- rate limit --------------------------------------------------------------------------------


def _price() -> None:
    """Tell what the request costs: a batch as many as its drafts, a rewriting two, anything else one."""
    g.cost = 2 if request.endpoint == "score.rewrite" else 1
    if request.endpoint in ("score.score_batch", "policies.simulate") and not g.refusal:
        try:
            body = request.get_json(silent=True)
        except RecursionError:  # the view answers for it
            return
        drafts: Any = body.get("drafts") if isinstance(body, dict) else None
        g.cost = max(len(drafts), 1) if isinstance(drafts, list) else 1


def _limit(app: Flask, rate: str, store: str) -> None:
    """Limit what needs the scope `score`, by key, else by address.

    The window is fixed: two numbers a caller, and what Retry-After says holds.
    """
    limiter = Limiter(
        lambda: f"key {g.key.id}" if g.key else f"address {request.remote_addr}",
        app=app,
        application_limits=[rate],
        application_limits_cost=lambda: int(g.cost),
        application_limits_exempt_when=lambda: needed_scope() != "score",
        storage_uri=store,
        # No caller waits longer than this for a Redis that hangs.
        storage_options={"socket_connect_timeout": 1, "socket_timeout": 1},
        strategy="fixed-window",
        # Where Redis is away, each worker counts for itself until it is back.
        in_memory_fallback_enabled=True,
        key_prefix="softanswer",
    )
    # Or nobody would hear that it is away.
    limiter.logger.addHandler(logging.StreamHandler())

    @app.after_request
    def tell(response: Response) -> Response:
        """Add the widely used RateLimit headers, in seconds from now (Flask-Limiter's own give a date)."""
        if limit := limiter.current_limit:
            wait_s = max(math.ceil(limit.window[0] - time.time()), 1)
            values = (limit.limit.amount, limit.remaining, wait_s, wait_s)
            told = zip(_LIMIT_HEADERS, values if limit.breached else values[:3], strict=False)
            response.headers.extend((name, str(value)) for name, value in told)
        return response


# --- browsers ----------------------------------------------------------------------------------


def _share(response: Response) -> Response:
    """Let pages of the listed origins read the answer: CORS, without cookies.

    Our own lines, since Flask-CORS reads an IPv6 origin as a pattern and leaves `Vary` out where the
    origin is not listed, so that a cache would keep that answer for those that are.
    """
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin in settings().cors_origins:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join((*_LIMIT_HEADERS, "X-Request-ID"))
        if request.method == "OPTIONS":
            response.headers.update(_PREFLIGHT_HEADERS)
    return response


def _harden(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)  # the playground has a stricter policy
    return response
