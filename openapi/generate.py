"""Write openapi.yaml from the code: `make openapi`. A test fails where the two differ."""

from __future__ import annotations

from pathlib import Path

import yaml

from softanswer.app import create_app

PATH = Path(__file__).with_name("openapi.yaml")


def document() -> str:
    """The OpenAPI document as YAML."""
    specification = create_app().test_client().get("/openapi.json").get_json()
    return yaml.safe_dump(specification, allow_unicode=True, sort_keys=False, width=110)


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf8")
