"""The playground at `/`: three files as they are written, and the examples that it offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flask import Response, jsonify, send_from_directory

import softanswer

ROOT = Path(softanswer.__file__).with_name("playground")
# Nothing from elsewhere, not even where a fault in the page would ask for it.
_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_playground(app: Any) -> None:
    """Add the page, what it loads, and the examples by name; none is part of the OpenAPI document."""
    examples = {path.stem: json.loads(path.read_bytes()) for path in sorted((ROOT / "examples").glob("*.json"))}
    app.add_url_rule("/", "playground", lambda: _page("index.html"))
    app.add_url_rule("/playground/examples.json", "playground_examples", lambda: jsonify(examples))
    app.add_url_rule("/playground/<any('app.js', 'style.css'):name>", "playground_file", _page)


def _page(name: str) -> Response:
    response = send_from_directory(ROOT, name)
    response.headers["Content-Security-Policy"] = _POLICY
    return response
