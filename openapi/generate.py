"""Write openapi.yaml and the answers of the examples from the code: `make openapi`. Tests fail where they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from softanswer.app import create_app

PATH = Path(__file__).with_name("openapi.yaml")


def document() -> str:
    """The OpenAPI document as YAML."""
    specification = create_app().test_client().get("/openapi.json").get_json()
    return yaml.safe_dump(specification, allow_unicode=True, sort_keys=False, width=110)


def answer(report: dict[str, Any]) -> dict[str, Any]:
    """What an example shows of its report, in the form of the README."""
    return {
        "scores": {name: round(score["value"], 2) for name, score in report["scores"].items()},
        "verdict": report["verdict"]["action"],
        "hints": [[hint["quote"], hint["message"]] for hint in report["hints"]],
    }


def write_examples() -> None:
    """Answer each example anew."""
    client = create_app().test_client()
    for path in PATH.with_name("examples").glob("*.json"):
        example = json.loads(path.read_bytes())
        example["answer"] = answer(client.post("/v1/score", json=example["request"]).get_json())
        path.write_text(json.dumps(example, ensure_ascii=False, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf8")
    write_examples()
