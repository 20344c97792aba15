import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softanswer import hints as hinting
from softanswer.api.schemas import ReportSchema
from softanswer.domain import DIMENSIONS, Context, Draft, UnknownPolicy
from softanswer.encoder.model import meeting
from softanswer.scorers import SCORERS
from softanswer.scorers.calibration import Line
from softanswer.scorers.evidence import calibrated

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parent / "golden"


def corpus():
    for path in sorted(CORPUS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf8").splitlines():
            case = json.loads(line)
            yield pytest.param(case, id=f"{path.stem}: {case['because']}")


def values(report):
    out = {s.name: s.value for s in report.scores}
    return out | {f"tone.{n}": v for s in report.scores for n, v in (s.dimensions or {}).items()}


@pytest.mark.parametrize("case", corpus())
def test_corpus(run, case):
    report = run(case["text"], to=case.get("to", ""), topics=tuple(case.get("topics", ())), gain=False)
    assert report.analysis.language.tag == case["language"]
    for name, (low, high) in case.get("bands", {}).items():
        assert low <= values(report)[name] <= high, (name, values(report)[name])
    if "verdict" in case:
        assert report.verdict.action == case["verdict"], report.verdict
    found = {m.cue.category for m in report.analysis.matches}
    assert set(case.get("cues", ())) <= found
    assert not set(case.get("no_cues", ())) & found
    assert set(case.get("hints", ())) <= {h.cue for h in report.hints}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda p: p.stem)
def test_golden_reports(post, path):
    golden = json.loads(path.read_text(encoding="utf8"))
    status, report = post(golden["request"])
    assert status == 200
    assert ReportSchema().validate(report) == {}  # it goes out as it was rendered, past the schema
    for name, score in golden["report"]["scores"].items():
        assert report["scores"][name]["value"] == pytest.approx(score["value"], abs=0.03)
        assert [e["cue"] for e in report["scores"][name]["evidence"]] == [e["cue"] for e in score["evidence"]]
    assert report["verdict"]["action"] == golden["report"]["verdict"]["action"]
    shape = lambda hints: {(h["cue"], h["start"], h["end"], h["kind"]) for h in hints}  # noqa: E731
    assert shape(report["hints"]) == shape(golden["report"]["hints"])


@pytest.mark.parametrize(
    "a, b",
    [
        ("We are sorry about the wait.", "we are sorry about the wait"),
        ("We are sorry about the wait.", "  We are sorry   about the wait.  "),
        ("You should have read the terms.", "YOU should have READ the terms."),
        ("אנחנו מצטערים על האיחור", "אנחנו מצטערים על האיחור."),
    ],
)
def test_case_and_white_space_do_not_flip_a_verdict(run, a, b):
    assert run(a, to="It came late!").verdict.action == run(b, to="It came late!").verdict.action


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400),
    kind=st.sampled_from(["reply", "post"]),
)
def test_any_text_gets_a_report_within_bounds(run, text, kind):
    report = run(text, to="why?", kind=kind)
    for score in report.scores:
        assert 0 <= score.value <= 1
        assert 0 <= score.confidence <= 1
        assert all(0 <= v <= 1 for v in (score.dimensions or {}).values())
        for e in score.evidence:
            assert 0 <= e.span.start <= e.span.end <= len(report.analysis.text.visible)
    checked = [s.name for s in report.scores] + [n.check for n in report.not_evaluated]
    assert sorted(checked) == sorted(name for name, _ in SCORERS)


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 3), st.floats(0, 3))
def test_calibration_is_monotone(a, b, model, cues):
    line = Line(bias=0.3, model=model, cues=cues)
    low, high = sorted((a, b))
    assert calibrated(line, low, 0.0) <= calibrated(line, high, 0.0)
    assert calibrated(line, 0.0, low) <= calibrated(line, 0.0, high)


DEFENSIVE = {
    "en": (
        "Sorry if you feel that way. WE DID NOTHING WRONG HERE!!!! Delete your review now.",
        "My food was cold and late.",
    ),
    "ar": ("نعتذر إذا شعرت بالانزعاج. كان عليك أن تقرأ الشروط. سنحذف تعليقك!!!!", "الأكل وصل بارد ومتأخر ساعة"),
    "he": ("מצטערים אם נפגעת. היית צריכה לבדוק לפני. נמחק את התגובה שלך!!!!", "האוכל הגיע קר ובאיחור של שעה"),
}


@pytest.mark.parametrize("tag", DEFENSIVE)
def test_applying_every_hint_never_raises_harm(run, pipeline, tag):
    text, message = DEFENSIVE[tag]
    before = run(text, to=message)
    edits = [h for h in before.hints if h.replacements]
    assert edits
    assert all(h.gain for h in edits)
    draft = hinting.apply(edits, before.analysis.text, before.analysis.draft)
    after = pipeline.run([draft])[0]
    assert values(after)["defensiveness"] <= values(before)["defensiveness"] + 0.005
    assert values(after)["spam"] <= values(before)["spam"] + 0.005


@pytest.mark.parametrize("tag", DEFENSIVE)
def test_moderation_acts_are_held(run, tag):
    text, message = DEFENSIVE[tag]
    report = run(text, to=message)
    assert report.verdict.action == "hold"
    assert any(r.cue == "defensiveness.silence" for r in report.verdict.reasons)
    assert len(report.hints) <= hinting.MAX_HINTS
    spans = sorted(h.span for h in report.hints)
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_omissions_are_hinted_only_under_a_complaint(run):
    curt = "Our opening hours are nine to five."
    under = {
        h.cue for h in run(curt, to="I waited two hours, the soup was cold and the waiter was rude. Terrible!").hints
    }
    assert {"omission.no_apology", "omission.no_acknowledgement"} <= under
    beside = {h.cue for h in run(curt, to="What time do you open?").hints}
    assert not any(cue.startswith("omission.") for cue in beside)


def test_an_omission_quotes_the_problem_and_inserts_an_apology(run):
    report = run(
        "Hi Dana! It is what it is.",
        to="Hello. The soup was cold and the waiter was rude! I waited an hour, terrible service.",
        gain=False,
    )
    by_cue = {h.cue: h for h in report.hints}
    assert "The soup was cold and the waiter was rude!" in by_cue["omission.no_acknowledgement"].message
    insert = by_cue["omission.no_apology"]
    assert insert.span.start == insert.span.end
    edited = hinting.apply([insert], report.analysis.text, report.analysis.draft).text
    assert edited == "Hi Dana! We're sorry this happened. It is what it is."


@pytest.mark.parametrize("reader", ["en", "ar", "he"])
def test_messages_are_in_the_reader_s_language(run, pipeline, reader):
    hint = run("Sorry if you feel that way.", to="It broke!", hint_language=reader).hints[0]
    assert hint.message == pipeline.book.wordings[reader]["non_apology"].message
    assert hint.replacements[0] == "for what happened"


def test_an_edit_never_tears_markup(run):
    report = run("<p>Sorry <b>if you feel</b> that way.</p>", to="It broke!", format="html")
    hint = next(h for h in report.hints if h.cue.startswith("defensiveness.non_apology"))
    assert hint.replacements == ()
    assert hint.kind == "check"


def test_edits_in_html_are_escaped(run, pipeline):
    report = run("<p>Sorry if you feel that way.</p>", to="It broke!", format="html")
    edits = [h for h in report.hints if h.replacements and h.cue.startswith("defensiveness")]
    assert hinting.apply(edits, report.analysis.text, report.analysis.draft).text.startswith(
        "<p>Sorry for what happened"
    )


def test_edits_together_never_leave_an_empty_draft(run, pipeline):
    report = run("We will delete your comment. You are banned from our page.", to="You lied to me!")
    edits = [h for h in report.hints if h.replacements]
    assert hinting.apply(edits, report.analysis.text, report.analysis.draft).text.strip()


def test_no_gain_without_asking_for_it(run):
    report = run("Sorry if you feel that way.", to="It broke!", gain=False)
    assert report.hints
    assert all(h.gain is None for h in report.hints)


def test_a_deadline_that_is_over_degrades(pipeline):
    draft = Draft("Sorry if you feel that way.", context=Context(in_reply_to="It broke!"), deadline_ms=1)
    report = pipeline.run([draft])[0]
    assert "gain" in report.degraded
    assert report.scores


def test_an_unknown_policy_is_refused(pipeline):
    with pytest.raises(UnknownPolicy):
        pipeline.run([Draft("hi", policy="mine")])


def test_a_batch_scores_as_its_drafts_do_alone(pipeline):
    drafts = [Draft(f"Sorry about order {n}, it ships today.", gain=False) for n in range(9)]
    together = pipeline.run(drafts)
    for draft, report in zip(drafts, together, strict=True):
        alone = values(pipeline.run([draft])[0])
        assert values(report) == pytest.approx(alone, abs=0.02)


def test_without_a_model_for_the_language_the_cues_speak_and_relevance_does_not(pipeline):
    from dataclasses import replace

    blind = replace(pipeline, model=replace(pipeline.model, languages=frozenset({"en"})))
    report = blind.run([Draft(DEFENSIVE["he"][0], context=Context(in_reply_to=DEFENSIVE["he"][1]))])[0]
    assert [(n.check, n.reason) for n in report.not_evaluated] == [("relevance", "no_encoder_for_language")]
    assert values(report)["defensiveness"] > 0.6
    assert set(DIMENSIONS) == {n.removeprefix("tone.") for n in values(report) if n.startswith("tone.")}


@pytest.mark.parametrize(
    "calm, hot",
    [
        ("We are open again from Monday and the bread is fresh. ", "You are lying, nobody else ever complained, read the terms. "),
        ("אנחנו פותחים שוב ביום שני והלחם טרי. ", "אתה משקר, אף אחד אחר לא התלונן, תקרא את התקנון. "),
        ("نفتح من جديد يوم الاثنين والخبز طازج. ", "أنت تكذب، لم يشتكِ أحد غيرك، اقرأ الشروط. "),
    ],
)  # fmt: skip
def test_the_end_of_a_long_text_is_read_too(pipeline, calm, hot):
    vectors = pipeline.model.encode([calm * 30, calm * 26 + hot * 4])
    calm_logit, hot_logit = (pipeline.model.read(v)["defensiveness"] for v in vectors)
    assert hot_logit > calm_logit + 0.2


@pytest.mark.parametrize(
    "complaint, own, other",
    [
        ("The zip of my blue tent broke on day one.", "A zip should last for years: a new blue tent is on its way.",
         "A fridge should last for years: a new fan belt is on its way."),
        ("الكهرباء قطعت عن شارع الزهور من الصبح", "فريقنا في شارع الزهور الآن وترجع الكهرباء قبل الثالثة.",
         "فريقنا في مطعم الشاطئ الآن ويرجع المبلغ قبل الثالثة."),
        ("הרוכסן של האוהל הכחול נקרע ביום הראשון", "רוכסן צריך להחזיק שנים, אוהל כחול חדש בדרך אליך.",
         "מקרר צריך להחזיק שנים, מאוורר חדש בדרך אליך."),
    ],
)  # fmt: skip
def test_a_reply_meets_the_tokens_of_the_message_that_it_answers(pipeline, complaint, own, other):
    message, right, wrong = map(pipeline.model.embed, (complaint, own, other))
    assert min(meeting(right, message)) > max(meeting(wrong, message))


def test_tokens_meet_themselves_and_nothing_meets_nothing(pipeline):
    said = pipeline.model.embed("The soup was cold.")
    assert meeting(said, said) == pytest.approx((1, 1), abs=0.01)
    assert meeting(said, pipeline.model.embed("")) == (0, 0)


@pytest.mark.parametrize("text", ["נעים " * 900, "wait " * 900, "a" * 5_000, "مرحبا،" * 900, "x", ""])
def test_windows_hold_the_whole_text_and_are_read_whole(pipeline, text):
    encoder = pipeline.model.encoder[0]
    windows = encoder.windows(text)
    assert "".join(windows) == text
    assert all(len(encoder.tokenizer.encode(w).ids) <= (256 if len(windows) == 1 else 128) for w in windows)


def test_what_stands_behind_the_first_window_of_a_long_message_is_met(pipeline):
    short = pipeline.model.embed("Our invoice names the wrong greenhouse.")
    calm = "We are open again from Monday and the bread is fresh. " * 12
    without, with_it = (
        pipeline.model.embed(calm + end + calm * 2) for end in ("", "Our invoice names the wrong greenhouse. ")
    )
    assert meeting(short, with_it)[0] > meeting(short, without)[0] + 0.1


def test_a_text_of_long_words_is_not_said_to_be_read_whole(pipeline):
    text = " ".join(["ツネ" * 31] * 24)  # a word a window
    assert len(text) < 1600
    assert not pipeline.model.reads_whole(text)


def test_sentence_transformers_gives_the_vectors_that_the_service_reads(pipeline):
    texts = ["We are sorry. " * 200, "Thanks!", ""]
    module = pipeline.model.encoder[0]
    whole = pipeline.model.encoder.encode(texts, show_progress_bar=False)
    np.testing.assert_allclose(whole, [module.embed(text)[0] for text in texts], atol=1e-6)


def test_a_text_of_20000_characters_is_scored(run):
    assert "defensiveness" in values(run("We are sorry about the wait. " * 690, to="It was late!"))


def test_repetition_in_recent_posts_raises_spam(pipeline):
    from softanswer.domain import RecentPost

    text = "New candles in the shop from Tuesday, lavender and fig, while we have them."
    fresh = values(pipeline.run([Draft(text)])[0])["spam"]
    again = values(pipeline.run([Draft(text, context=Context(recent_posts=(RecentPost(text),)))])[0])["spam"]
    assert again > fresh
