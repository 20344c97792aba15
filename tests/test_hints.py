import dataclasses

import pytest

from softanswer import hints as hinting
from softanswer.cues.files import ROOT, load_languages
from softanswer.domain import Context, DataFault, Draft, Hint, RecentPost, Score, Span
from softanswer.hints import Book, check_hint_names, load_book, put_first, suggest
from softanswer.pipeline import Call


@pytest.fixture(scope="module")
def languages():
    return load_languages()


@pytest.fixture(scope="module")
def book(languages) -> Book:
    return load_book(ROOT, languages)


def test_every_hint_is_worded_in_every_language(book, languages):
    for tag in languages:
        assert list(book.wordings[tag]) == list(book.sorts)


def test_only_a_safe_omission_has_words_to_insert(book):
    for words in book.wordings.values():
        assert {name for name, w in words.items() if w.insert} == {"no_apology", "no_next_step"}


def test_every_category_that_should_be_hinted_is(book, languages):
    """Defensive and spam categories all have a hint, but for the marks of lawful practice."""
    for language in languages.values():
        for cue in language.cues:
            if cue.score in ("defensiveness", "spam") and cue.category != "spam.lawful":
                assert cue.hint in book.sorts, cue.id


def test_the_names_of_omitted_categories_exist(book, languages):
    categories = {cue.category for language in languages.values() for cue in language.cues}
    for sort in book.sorts.values():
        assert set(sort.omission) <= categories


def test_words_of_a_cue_leave_whole_sentences_in_its_own_examples(languages, pipeline):
    """What a cue offers neither starts nor ends with white space, and one of its examples shows it."""
    for tag, language in languages.items():
        matcher = pipeline.matchers[tag]
        for cue in language.cues:
            shown = {
                m.better for e in cue.match for m in matcher.find(e, cue.kinds[0]) if m.cue.id == cue.id and m.reworded
            }
            assert shown >= {r.words for r in cue.rewordings}, cue.id
            assert all(words == words.strip() for r in cue.rewordings for words in r.words)


@pytest.mark.parametrize(
    "text, offered",
    [
        ("Sorry if you feel that way.", True),
        ("Sorry, if you feel that way.", False),
        ("Sorry (if you feel that way).", False),
    ],
)
def test_a_phrase_behind_a_comma_or_a_bracket_is_not_replaced(pipeline, text, offered):
    found = [m for m in pipeline.matchers["en"].find(text, "reply") if m.cue.category == "defensiveness.non_apology"]
    assert found
    assert any(m.reworded for m in found) == offered


def test_what_is_inserted_behind_an_open_end_closes_it(pipeline):
    asked = Draft(
        "You will get a coupon", gain=False, context=Context(in_reply_to="My soup was cold and the waiter rude!")
    )
    (report,) = pipeline.run([asked])
    inserts = [h.replacements[0] for h in report.hints if h.kind == "insert" and h.span.start]
    assert inserts
    assert all(words.startswith(". ") for words in inserts)


def test_what_an_omission_inserts_is_what_was_missing(book, languages, pipeline):
    """No hint comes back after its own words were put in."""
    for tag in languages:
        matcher = pipeline.matchers[tag]
        for name, wording in book.wordings[tag].items():
            found = {m.cue.category for m in matcher.find(wording.insert, "reply")}
            assert not wording.insert or found & set(book.sorts[name].omission), (tag, name)


def test_an_unknown_hint_is_a_fault(book, languages):
    cue = dataclasses.replace(languages["en"].cues[0], hint="nothing")
    with pytest.raises(DataFault, match="unknown hint 'nothing'"):
        check_hint_names(book, [dataclasses.replace(languages["en"], cues=(cue,))])


def test_other_hints_give_way_to_the_first():
    def hint(start, end):
        return Hint("c", "check", "low", Span(start, end), "m")

    assert put_first(hint(0, 9), [hint(3, 5), hint(9, 12), hint(9, 9)]) == (hint(0, 9), hint(9, 12), hint(9, 9))


@pytest.mark.parametrize(
    "text, format, expected",
    [
        # Handles on a line of their own, and a signature at the end.
        (
            "@anna\nWe are open until nine every day. Come again. ^JL",
            "plain",
            "@anna\nSTART We are open until nine every day. Come again. END ^JL",
        ),
        (
            "<p>We are open until nine every day.&nbsp;</p>",
            "html",
            "<p>START We are open until nine every day. END&nbsp;</p>",
        ),
        (
            "<dl><dd>We are open until nine every day.</dd></dl>",
            "html",
            "<dl><dd>START We are open until nine every day. END</dd></dl>",
        ),
        (
            "<p><b>We are open until nine every day.</b></p>",
            "html",
            "<p><b>START We are open until nine every day.</b> END</p>",
        ),
        ("[Our hours](/t) are nine to five every day.", "markdown", "[Our hours](/t) are nine to five every day. END"),
        ("هذا مفتوح كل يوم شكراً", "plain", "START هذا مفتوح كل يوم شكراً. END"),
    ],
)
def test_what_is_missing_goes_in_where_it_belongs(pipeline, book, text, format, expected):
    wordings = {
        name: dataclasses.replace(w, insert={"no_apology": "START", "no_next_step": "END"}.get(name, ""))
        for name, w in book.wordings["en"].items()
    }
    marked = dataclasses.replace(book, wordings=dict.fromkeys(book.wordings, wordings))
    asked = Draft(text, kind="reply", format=format, language="en", context=Context(in_reply_to=COMPLAINT))
    analysis = pipeline.analyse(asked, Call())
    hints = suggest(analysis, [Score("defensiveness", 0.9, 0.9, "high", ())], marked, "en")
    inserts = [h for h in hints if h.kind == "insert"]
    assert hinting.apply(inserts, analysis.text, asked).text == expected


def test_nothing_is_joined_to_a_sentence_that_is_taken_out(run):
    report = run("Your table was booked for nine. We will ban you", to=COMPLAINT)
    edits = [h for h in report.hints if h.replacements]
    removed = {h.span.end for h in edits if h.replacements == ("",)}
    assert removed
    assert not [h for h in edits if h.kind == "insert" and h.span.start in removed]


COMPLAINT = "Waited 40 minutes for a cold pizza and nobody picked up the phone."


def applied(report, hint):
    """The source with a hint's first replacement in it."""
    text = report.analysis.text
    start, end = text.in_source(hint.span)
    return text.source[:start] + hint.replacements[0] + text.source[end:]


@pytest.mark.parametrize(
    "text",
    [
        "You idiot. Our bread is baked at six and the shop closes at nine.",
        "אתה אידיוט. הלחם נאפה בשש והחנות נסגרת בתשע.",
    ],
)
def test_an_insult_is_told_as_one(run, text):
    report = run(text, to=COMPLAINT)
    assert report.hints[0].cue.startswith(("tone.insult", "defensiveness.attack"))
    assert report.hints[0].severity == "high"


@pytest.mark.parametrize(
    "text, edited",
    [
        ("Sorry if you feel that way.", "Sorry for what happened."),
        ("Apologies if you were upset by the delay.", "Apologies for what happened."),
        (
            "I am so sorry if you were offended by our waiter. Please call us.",
            "I am so sorry for what happened. Please call us.",
        ),
        (
            "We are sorry if you felt ignored and we will call you.",
            "We are sorry for what happened and we will call you.",
        ),
        ("Please accept our apologies if you were upset.", "Please accept our apologies for what happened."),
        ("We apologize deeply if you feel that way.", "We apologize deeply for what happened."),
        ("Sorry you were upset, frustrated and disappointed.", "Sorry for what happened."),
        ("Sorry if you were upset because our driver was rude to you.", None),
        ("Sorry if you were upset ^JL", "Sorry for what happened ^JL"),
        ("Sorry if you were upset -Anna", "Sorry for what happened -Anna"),
        ("Sorry if you were upset / angry.", "Sorry for what happened."),
        ("Sorry if you felt ignored at the till.", "Sorry for what happened."),
        ("Sorry if you were upset by the delay on Friday.", "Sorry for what happened on Friday."),
        ("Sorry if you felt ignored yesterday. We'll call.", "Sorry for what happened yesterday. We'll call."),
        ("Sorry if you were upset by yesterday's menu.", "Sorry for what happened."),
        ("We're sorry you're upset and would like a refund.", None),
        ("We're sorry you're unhappy with our new prices.", None),
        ("Sorry if anyone is upset about tomorrow's closure.", None),
        ('Sorry you feel "cheated".', None),
        ("We regret that you are dissatisfied ^JL", "We regret what happened ^JL"),
        ("We regret that your stay did not meet your expectations.", None),
        ("Please accept our regret that you were upset.", None),
        ("Sorry for any confusion this may have caused.", "Sorry for the confusion."),
        ("Sorry for any inconvenience while we fix this.", "Sorry for the trouble while we fix this."),
        ("Sorry if you feel that way (we tried)", "Sorry for what happened (we tried)"),
        (
            "Sorry if you feel that way about the soup and the waiter and everything that came after it in the evening.",
            None,
        ),
        ("אני מתנצלת מאוד אם נפגעת, נשמח לעזור.", "אני מתנצלת מאוד על מה שקרה, נשמח לעזור."),
        ("מצטערים אם נפגעתם ונשמח לפצות.", "מצטערים על מה שקרה ונשמח לפצות."),
        ("סליחה אם נפגעת נחזור אליך מחר.", "סליחה על מה שקרה נחזור אליך מחר."),
        ("מצטער/ת ממש אם נפגעת ^מ", "מצטער/ת ממש על מה שקרה ^מ"),
        ("מתנצלת מאוד על אי הנוחות שנגרמה בגלל הטעות שלנו.", "מתנצלת מאוד על מה שקרה בגלל הטעות שלנו."),
        ("מצטערים אם נפגעת, הרגשת זלזול או לא קיבלת מענה.", "מצטערים על מה שקרה."),
        ('מצטערים אם נפגעת מהמנכ"ל שלנו.', None),
        ("סליחה אם הייתה אי הבנה לגבי המחיר: הוא מופיע באתר.", None),
        ("نعتذر منكم إذا كان هناك أي تأخير وإزعاج، وسنتابع.", "نعتذر منكم عما حدث، وسنتابع."),
        ("آسفين لو حسيت بالتقصير وسنعوضك.", "آسفين على ما حدث وسنعوضك."),
        ("أنا آسفة جداً إذا كان ردي متأخراً، وسأتصل بك.", "أنا آسفة جداً على ما حدث، وسأتصل بك."),
        ("نعتذر إذا حصل تأخير وفريقنا سيتواصل معك.", "نعتذر عما حدث وفريقنا سيتواصل معك."),
        ("نعتذر إذا حصل تأخير سنتواصل معك غداً.", "نعتذر عما حدث سنتواصل معك غداً."),
        ("نأسف لأنك تعتقد أننا سنراجع السعر.", "نأسف لما حدث."),
        ("بنعتذر لحضرتك لو اتضايقت وهنعوضك.", "بنعتذر لحضرتك على اللي حصل وهنعوضك."),
        ("السموحة على أي تقصير بدر منا.", "السموحة على اللي صار."),
        ("نعتذر لكل من تضايق من الفيديو، وحذفناه.", None),
    ],
)
def test_a_clause_is_replaced_as_a_whole(pipeline, text, edited):
    found = [m for tag in pipeline.matchers for m in pipeline.matchers[tag].find(text, "reply")]
    match = max((m for m in found if m.cue.category == "defensiveness.non_apology"), key=lambda m: m.cue.weight)
    better = text[: match.reworded.start] + match.better[0] + text[match.reworded.end :] if match.reworded else None
    assert better == edited


@pytest.mark.parametrize(
    "text, edited",
    [
        (
            "HUGE SALE TODAY. COME AND SEE US NOW!!! WIN FREE CASH $$$",
            "Huge sale today. Come and see us now!!! Win free cash",
        ),
        ("Win free cash now $$$ and see our HUGE CRAZY SALE NOW", "huge crazy sale now"),
    ],
)
def test_lowered_capitals_keep_those_that_open_a_sentence(run, text, edited):
    report = run(text, kind="post", gain=False)
    assert [h.replacements[0] for h in report.hints if h.cue == "spam.form.caps"] == [edited]


@pytest.mark.parametrize(
    "text, format, start",
    [
        (
            "We are open until six, see [our site](http://x.com/a)",
            "markdown",
            "We are open until six, see [our site](http://x.com/a). ",
        ),
        ("<p>We are open, see <a href='x'>our site</a></p>", "html", "<p>We are open, see <a href='x'>our site</a>. "),
        ("We are open until **six**", "markdown", "We are open until **six**. "),
    ],
)
def test_an_insertion_lands_outside_links_and_emphasis(run, text, format, start):
    report = run(text, to=COMPLAINT, format=format, gain=False)
    (hint,) = [h for h in report.hints if h.cue == "omission.no_next_step"]
    assert applied(report, hint).startswith(start)


@pytest.mark.parametrize(
    "text, start",
    [
        ("@anna We are open until six.", "@anna We're sorry"),
        ("Hi Anna! We are open until six.", "Hi Anna! We're sorry"),
        ("Cold again? Our ovens are hot.", "We're sorry"),
        ("Hi Anna, it is what it is. Come by.", None),
    ],
)
def test_an_apology_goes_behind_handle_and_greeting(run, text, start):
    report = run(text, to=COMPLAINT, gain=False)
    for hint in report.hints:
        if hint.cue == "omission.no_apology":
            assert applied(report, hint).startswith(start) if start else not hint.replacements, applied(report, hint)
            return
    pytest.fail("no such hint")


def test_what_is_said_of_the_whole_draft_leaves_the_parts_their_hints(run):
    text = "WIN WIN WIN cash now!!!! Tag 3 friends and share. Click here before it is too late."
    recent = (RecentPost(text),)
    found = {h.cue for h in run(text, kind="post", context=Context(recent_posts=recent), gain=False).hints}
    assert "spam.repetition.near_duplicate" in found
    assert len(found) > 1
