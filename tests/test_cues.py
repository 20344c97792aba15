import collections

import pytest

from softanswer.cues.check import check
from softanswer.cues.files import ROOT, load_languages
from softanswer.cues.literals import Index
from softanswer.cues.patterns import CodePage, Grammar, PatternFault, compile_patterns
from softanswer.cues.structure import STRUCTURE, find_structure
from softanswer.domain import DataFault
from softanswer.text import read_text
from training.common import read_corpus

GRAMMAR = Grammar(str.lower, clitics="(w|b)?", sets={"err": "(error|fault)", "loop": "{loop}", "so": "(so |very )?"})


@pytest.mark.parametrize(
    "pattern, text, found",
    [
        pytest.param("you should( have|'ve) read", "You should've read it", "you should've read", id="a space inside a bracket"),
        pytest.param("we (really)? mean it", "we mean it", "we mean it", id="an optional word takes its space along"),
        pytest.param("had you read", "had you, read", "had you, read", id="light punctuation between words"),
        pytest.param("had you read", "had you. read", None, id="never across a sentence end"),
        pytest.param("we ... never", "we did really never", "we did really never", id="a gap of up to four words"),
        pytest.param("we ... never", "we a b c d e never", None, id="a gap of five is too wide"),
        pytest.param("promis*", "promised", "promised", id="a word that begins so"),
        pytest.param("rest", "forest", None, id="words match whole"),
        pytest.param("#% off", "20% off", "20% off", id="a number"),
        pytest.param("our {err}", "our fault", "our fault", id="a set"),
        pytest.param("{so}sorry", "very sorry", "very sorry", id="an optional set inside a word"),
        pytest.param("(so|very)+ sorry", "so very very sorry", "so very very sorry", id="repetition"),
        pytest.param("book", "wbook", "wbook", id="the first word takes clitics"),
        pytest.param("a +book", "a bbook", "a bbook", id="another word takes them on request"),
        pytest.param(r"what\?", "what?", "what?", id="an escaped sign"),
        pytest.param("off ?line", "offline", "offline", id="a space or none"),
    ],
)  # fmt: skip
def test_patterns(pattern, text, found):
    match = compile_patterns([pattern], GRAMMAR).regex.search(text.lower().encode())
    assert (match and match.group(1).decode()) == found


@pytest.mark.parametrize(
    "pattern, needed",
    [
        pytest.param("our {err}", {" our error ", " our fault "}, id="a phrase that can only be a few"),
        pytest.param("yes (really)? so", {" yes so ", " yes really so "}, id="with and without a word"),
        pytest.param("promis*", {" promis"}, id="no end of a word that begins so"),
        pytest.param("a ... refund", {"refund "}, id="the rarer side of a gap"),
        pytest.param("(very)+ sorry", {" sorry "}, id="the rarer of two words"),
        pytest.param("# _", set(), id="nothing is known"),
        pytest.param("(a|_) b", {" b "}, id="one branch of which nothing is known"),
        pytest.param("can't", {" can t "}, id="signs are spaces"),
    ],
)
def test_what_a_text_must_hold(pattern, needed):
    found = compile_patterns([pattern], Grammar(str.lower, sets=GRAMMAR.sets)).needed
    assert found == {n.encode() for n in needed}


@pytest.mark.parametrize("tag", ["en", "ar", "he"])
def test_no_phrase_is_missed_by_looking_for_what_its_pattern_needs_first(pipeline, tag, monkeypatch):
    matcher, cues = pipeline.matchers[tag], load_languages()[tag].cues
    texts = [text for cue in cues for text in (*cue.match, *cue.no_match)]
    texts += [item["text"] for item in read_corpus()[::20] if item["lang"] == tag]
    found = [matcher.find(text, "reply") for text in texts]
    monkeypatch.setattr(Index, "among", lambda self, encoded: range(len(cues)))
    assert found == [matcher.find(text, "reply") for text in texts]


@pytest.mark.parametrize("pattern", ["(a", "a)", "{none}", "{loop}", "", "a ...", "... a ?b", "?a", "(a)?", "a\\", "}"])
def test_pattern_faults(pattern):
    with pytest.raises(PatternFault):
        compile_patterns([pattern], GRAMMAR)


def test_a_code_page_keeps_lengths_and_tells_letters_from_signs():
    page = CodePage("אב")
    assert "אבג€a".translate(page) == "\x80\x81\xfe\xffa"


def test_every_cue_is_held_to_its_own_examples():
    assert check() == []


@pytest.mark.parametrize("tag", ["en", "ar", "he"])
def test_every_category_has_enough_forms(tag):
    """At least 25 forms a defensive and recovery category, counting the inflections that brackets reach."""
    narrow = {"defensiveness.stonewall": 15, "defensiveness.demand_proof": 15, "recovery.explain": 15}
    forms = collections.Counter()
    for cue in load_languages()[tag].cues:
        if cue.score in ("defensiveness", "recovery"):
            forms[cue.category] += sum(pattern.count("|") + 1 for pattern in cue.any)
    assert len(forms) == 27
    assert {c: n for c, n in forms.items() if n < narrow.get(c, 25)} == {}


@pytest.mark.parametrize(
    "broken, message",
    [
        ("cues: [", "line"),
        ("cues:\n  - id: spam.x.y\n    id: spam.x.z", "stands twice"),
        ("cues:\n  - {id: spam.x.y, any: [a], weight: 1, source: s, match: [a], no_match: [b], tone: 1}", "tone: Unknown field."),
        ("cues:\n  - {id: spam.x.y, any: [a], weight: 9, source: s, match: [a], no_match: [b]}", "weight: Must be"),
        ("cues:\n  - {id: spam.x.y, any: [a], weight: 1, source: s, match: [a]}", "no_match: Missing data"),
        ("cues:\n  - {id: spam.x.y, any: ['a\u202e'], weight: 1, source: s, match: [a], no_match: [b]}", "U+202E"),
        ("cues:\n  - {id: spam.x.y, any: [zzz], weight: 1, source: s, match: [a], no_match: [b]}", "match example"),
        ("cues:\n  - {id: spam.x.y, any: [a], weight: 1, source: s, match: [a], no_match: [a]}", "no_match example"),
        ("cues:\n  - {id: tone.x.y, any: [a], weight: 1, source: s, match: [a], no_match: [b]}", "does not belong"),
        ("cues:\n  - {id: spam.x.y, any: ['{q}'], weight: 1, source: s, match: [a], no_match: [b]}", "unknown set"),
    ],
)  # fmt: skip
def test_faults_are_told_with_path_and_line(tmp_path, broken, message):
    folder = tmp_path / "xx"
    folder.mkdir()
    (folder / "language.yaml").write_text((ROOT / "en" / "language.yaml").read_text().replace("tag: en", "tag: xx"))
    (folder / "spam.yaml").write_text(broken, encoding="utf8")
    faults = check(tmp_path)
    assert any("spam.yaml:" in fault for fault in faults)
    if message != "line":
        assert message in "\n".join(faults)


def test_loading_a_broken_language_raises(tmp_path):
    (tmp_path / "xx").mkdir()
    (tmp_path / "xx" / "language.yaml").write_text("tag: xx")
    with pytest.raises(DataFault, match=r"language\.yaml:1: name: Missing data"):
        load_languages(tmp_path)


@pytest.mark.parametrize(
    "text, cue",
    [
        ("BUY THIS NOW OR NEVER", "spam.form.caps"),
        ("Hurry!!!!", "spam.form.punctuation"),
        ("win 🔥🔥🔥🔥🔥 today", "spam.form.emoji"),
        ("tea #a1 #b1 #c1 #d1 #e1 #f1", "spam.form.hashtags"),
        ("a.com b.com c.com", "spam.form.links"),
        ("sooooo good", "spam.form.elongation"),
        ("F R E E money", "spam.form.spaced_letters"),
        ("get $$$ fast", "spam.form.money_signs"),
        ("Buy tea now.\nBuy tea now.\nBuy tea now.", "spam.form.repeated_line"),
        ("عرض جديــــــد", "spam.form.elongation"),
    ],
)
def test_structure(text, cue):
    assert cue in [m.cue.id for m in find_structure(read_text(text, "plain"), "post")]


@pytest.mark.parametrize(
    "text",
    [
        "We open at 9. BBC and NHS said so.",
        "חחחחח גדול, ههههه شكرا, hmm mmmm",
        "Great!! 🎉",
        "#tea is here",
        "see a.com",
        "מבצע עד יום ראשון",
        f"{4 * 'X'}L is back",
        "vitamins A B C D E",
        "https://shop.example/WIN-BIG-CASH/NOW",
        "#BLACKFRIDAYSALE",
    ],
)
def test_ordinary_form_is_no_cue(text):
    assert find_structure(read_text(text, "plain"), "post") == ()


def test_the_space_behind_marks_is_not_theirs():
    text = read_text("Wow! ! ! ! Yes", "plain")
    assert [text.slice(m.span) for m in find_structure(text, "post")] == ["! ! ! !"]


def test_structural_cues_are_like_the_others():
    assert len({cue.id for cue in STRUCTURE}) == len(STRUCTURE)
