import json

import pytest
from click.testing import CliRunner

from softanswer.cli import main


@pytest.fixture
def invoke(monkeypatch, pipeline):
    """Run a command in process, with the pipeline that the session has loaded already."""
    monkeypatch.setattr("softanswer.app.build_pipeline", lambda settings: pipeline)
    return lambda *args, **kwargs: CliRunner().invoke(main, args, **kwargs)


def test_score_prints_a_readable_report(invoke):
    result = invoke("score", "--to", "It broke!", input="Sorry if you feel that way.\n")
    assert result.exit_code == 0
    for part in (
        "defensiveness",
        "spam",
        "relevance",
        "tone",
        "defensiveness.non_apology.if",
        "→",
        "for what happened",
    ):
        assert part in result.output


def test_score_underlines_spans_in_colour(invoke):
    result = invoke("score", "--to", "It broke!", input="Sorry if you feel that way.\n", color=True)
    assert "\x1b[31m\x1b[4mif you feel" in result.output


def test_right_to_left_lines_are_isolated(invoke):
    result = invoke("score", "--to", "הגיע שבור!", input="מצטערים אם נפגעת.\n")
    assert "\u2068מצטערים אם נפגעת.\u2069" in result.output


def test_score_reads_a_file_and_prints_json(invoke, tmp_path):
    path = tmp_path / "draft.txt"
    path.write_text("نعتذر عن التأخير", encoding="utf8")
    result = invoke("score", str(path), "--json")
    assert json.loads(result.output)["language"]["tag"] == "ar"


def test_what_cannot_be_judged_is_said(invoke):
    assert "not evaluated: unsupported language" in invoke("score", input="Спасибо за ваш отзыв").output


def test_an_empty_draft_is_a_usage_error(invoke):
    result = invoke("score", input="\n")
    assert result.exit_code == 2
    assert "The draft is empty." in result.output


def test_bad_settings_are_told_without_a_trace(monkeypatch):
    monkeypatch.setenv("SOFTANSWER_PORT", "many")
    result = CliRunner().invoke(main, ["score"], input="hi")
    assert result.exit_code == 1
    assert "SOFTANSWER_PORT: Not a valid integer." in result.output


def test_serve_tells_a_model_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTANSWER_MODEL", str(tmp_path))
    result = CliRunner().invoke(main, ["serve"])
    assert (result.exit_code, "holds no heads" in result.output) == (1, True)


def test_check_data_passes_on_our_own_files(invoke):
    result = invoke("check-data", "--language", "en", "--file", "relevance.yaml")
    assert (result.exit_code, result.output) == (0, "no faults\n")


@pytest.mark.parametrize(
    "arguments, data, told",
    [
        (["score"], b"caf\xe9", "not UTF-8: byte 3"),
        (["score"], b"a" * 20_001, "longer than 20000 characters"),
        (["check-data", "--language", "fr"], b"", "'fr' is not one of"),
        (["check-data", "--file", "nope.yaml"], b"", "no language has a file nope.yaml"),
    ],
)
def test_bad_input_is_told_without_a_trace(invoke, arguments, data, told):
    result = invoke(*arguments, input=data)
    assert result.exit_code != 0
    assert told in result.output


def test_check_data_fails_with_path_and_line(invoke, monkeypatch):
    monkeypatch.setattr("softanswer.cli.check", lambda only: ["x/spam.yaml:3: wrong"])
    result = invoke("check-data")
    assert (result.exit_code, result.output) == (1, "x/spam.yaml:3: wrong\n1 faults\n")


def test_serve_starts_gunicorn_on_this_interpreter(monkeypatch):
    import sys

    calls = []
    monkeypatch.setattr("os.execv", lambda path, args: calls.append((path, args)))
    CliRunner().invoke(main, ["serve"])
    assert calls[0][0] == sys.executable
    assert calls[0][1][1:] == [
        "-m",
        "gunicorn",
        "--config",
        "python:softanswer.gunicorn_conf",
        "softanswer.app:create_app()",
    ]
