"""The README says what is so: its settings, its commands, its requests."""

import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from softanswer.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf8")


@pytest.mark.parametrize("field", [f.name for f in fields(Settings)])
def test_every_setting_has_its_row(field):
    assert f"`{PREFIX}{field.upper()}`" in README


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)", README)):
        assert f"\n{target}:" in makefile, target


COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
REQUESTS = re.findall(r"<<'JSON'\n(.*?)\nJSON\n", README, re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shell_can_read_the_commands(command):
    subprocess.run(["bash", "-n"], input=command, text=True, check=True, capture_output=True)


@pytest.mark.parametrize("body", REQUESTS)
def test_the_requests_of_the_first_screen_are_answered_as_shown(post, body):
    status, report = post(json.loads(body))
    assert status == 200
    shown = README[README.index(body) + len(body) :].split("```json\n")[1].split("```")[0]
    answer = json.loads(shown)
    assert answer["verdict"] == report["verdict"]["action"]
    assert answer["hints"] == [[h["quote"], h["message"]] for h in report["hints"]][: len(answer["hints"])]
    for name, value in answer["scores"].items():
        assert report["scores"][name]["value"] == pytest.approx(value, abs=0.02)


def test_there_is_a_request_in_each_language():
    assert len(REQUESTS) == 3
