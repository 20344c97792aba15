"""Heads for another encoder: fitted from the corpus, loaded by SOFTANSWER_MODEL, scoring with a calibration of their own."""

import json

import pytest
from click.testing import CliRunner

from softanswer.app import build_pipeline
from softanswer.cli import main
from softanswer.domain import Context, Draft
from softanswer.encoder import BUNDLED
from softanswer.settings import Settings
from training import common


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Heads that were trained on a tenth of the corpus, for the bundled encoder as if it were a stranger's."""
    corpus, out = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("heads")
    rows = common.read_corpus()[::10]
    (corpus / "some.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "CORPUS", corpus)
        told = CliRunner().invoke(
            main, ["train-heads", str(BUNDLED / "encoder"), "--out", str(out), "--languages", "en,he"]
        )
    assert told.exit_code == 0, told.output
    assert f"SOFTANSWER_MODEL={out}" in told.output
    return out


def test_the_heads_tell_a_fight_from_an_apology(folder):
    pipeline = build_pipeline(Settings(model=folder))
    complaint = Context(in_reply_to="My order came broken and nobody answers.")
    hot, soft = pipeline.run(
        [
            Draft("You are lying. Nobody else has this problem, read the terms.", context=complaint),
            Draft("I am so sorry, Dana. We packed it badly. A new one leaves today.", context=complaint),
        ]
    )
    value = lambda report: next(s.value for s in report.scores if s.name == "defensiveness")  # noqa: E731
    assert value(hot) > value(soft) + 0.2


def test_a_language_the_encoder_does_not_read_is_not_judged(folder):
    pipeline = build_pipeline(Settings(model=folder))
    arabic = Draft("نعتذر عن التأخير وسنعيد المبلغ اليوم.", context=Context(in_reply_to="طلبي لم يصل"))
    report = pipeline.run([arabic])[0]
    assert {m.reason for m in report.not_evaluated} == {"no_encoder_for_language"}


def test_their_calibration_is_their_own(folder):
    bundled, other = build_pipeline(Settings()), build_pipeline(Settings(model=folder))
    assert (folder / "calibration" / "he" / "calibration.yaml").exists()
    assert bundled.data_versions["calibration"] != other.data_versions["calibration"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nobody/has-this-model-here", "--out", "x"], "cannot be loaded"),
        ([str(BUNDLED / "encoder"), "--out", "x", "--languages", "en,fr"], "not a language of ours: fr"),
    ],
)
def test_bad_arguments_are_told(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = CliRunner().invoke(main, ["train-heads", *arguments])
    assert result.exit_code != 0
    assert told in result.output
