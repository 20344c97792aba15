"""The pieces of code of openapi/quickstart.md are run as they stand there, against a running service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "openapi" / "quickstart.md").read_text(encoding="utf8")
PROGRAMS = {"sh": "bash", "python": sys.executable, "js": "node", "php": "php"}
SNIPPETS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL))


def test_there_is_a_piece_of_code_in_each_language():
    assert SNIPPETS.keys() == PROGRAMS.keys()


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_code_runs_and_prints_the_verdict(language, address, tmp_path):
    if shutil.which(PROGRAMS[language]) is None:
        pytest.skip(f"NOT TESTED: {PROGRAMS[language]} is not installed")
    code = SNIPPETS[language].replace("http://127.0.0.1:8080", address)
    assert code != SNIPPETS[language]
    # As a module, where await may stand outside of functions.
    file = tmp_path / f"snippet.{'mjs' if language == 'js' else language}"
    file.write_text(code, encoding="utf8")
    ran = subprocess.run([PROGRAMS[language], file], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"\b(publish|revise|hold)\b", ran.stdout)
