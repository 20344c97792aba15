"""The LanguageTool protocol: with its real Python client against the running server, and field by field."""

import json

import language_tool_python
import pytest
from test_faults import serving

from softanswer.app import create_app
from softanswer.keys import KeyStore
from softanswer.settings import Settings

BLAMING = "😀 We're sorry if you feel that way. You should have called sooner."
SHOUTING = "SHARE this now!!!! Tag a friend and like this post to win."
PUNCTUATION = "spam.form.punctuation"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def tool(url):
    """Make a client: tool('en-US')."""
    made = []

    def make(language: str, **options):
        made.append(language_tool_python.LanguageTool(language, remote_server=url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def check(client):
    """Check a text and return the answer: check('text', level='picky')."""

    def ask(text: str | None = BLAMING, **form) -> dict:
        form = {"language": "auto", **({"text": text} if text else {}), **form}
        response = client.post("/v2/check", data=form)
        assert response.status_code == 200, response.text
        return response.get_json()

    return ask


def rules(answer: dict) -> list[str]:
    return [match["rule"]["id"] for match in answer["matches"]]


def utf16(text: str, match: dict) -> str:
    """What a client that counts UTF-16 code units underlines."""
    start = 2 * match["offset"]
    return text.encode("utf-16-le")[start : start + 2 * match["length"]].decode("utf-16-le")


def annotations(*pieces: dict) -> str:
    return json.dumps({"annotation": pieces})


# --- the real client ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "language, text, quotes",
    [
        ("en-US", BLAMING, ["if you feel that way", "You should have called"]),
        ("auto", BLAMING, ["if you feel that way", "You should have called"]),
        ("ar", "نعتذر إذا شعرت بالانزعاج. كان عليك أن تتصل بنا.", ["إذا شعرت بالانزعاج", "كان عليك أن تتصل"]),
        ("he", "מצטערים אם נפגעת. נמחק את התגובה שלך.", ["אם נפגעת"]),
    ],
    ids=["English with a region and an emoji", "detected", "Arabic", "Hebrew"],
)
def test_the_python_client_underlines_our_hints(tool, language, text, quotes):
    found = tool(language).check(text)
    underlined = [text[match.offset : match.offset + match.error_length] for match in found]
    assert set(quotes) <= set(underlined)
    assert all(match.message and match.rule_id and match.category for match in found)


def test_the_python_client_puts_our_words_in(tool):
    assert tool("en").correct(BLAMING) == BLAMING.replace("if you feel that way", "for what happened")


def test_the_python_client_chooses_rules(tool):
    client = tool("en-US")
    assert PUNCTUATION not in [match.rule_id for match in client.check(SHOUTING)]
    client.picky = True
    assert PUNCTUATION in [match.rule_id for match in client.check(SHOUTING)]
    client.disabled_rules = {PUNCTUATION}
    assert PUNCTUATION not in [match.rule_id for match in client.check(SHOUTING)]
    client.disabled_rules, client.enabled_rules, client.enabled_rules_only = set(), {PUNCTUATION}, True
    assert [match.rule_id for match in client.check(SHOUTING)] == [PUNCTUATION]


def test_the_python_client_is_told_of_a_wrong_request(tool):
    with pytest.raises(language_tool_python.exceptions.LanguageToolError, match="text: Longer than 20000 characters"):
        tool("en").check("a" * 20_001)


# --- field by field ----------------------------------------------------------------------------


def test_a_match_has_the_documented_fields(check):
    answer = check(language="en-US")
    match = answer["matches"][0]
    assert utf16(BLAMING, match) == "if you feel that way"
    assert utf16(match["context"]["text"], match["context"]) == "if you feel that way"
    assert match["sentence"] == "😀 We're sorry if you feel that way."
    assert {"value": "for what happened"} in match["replacements"]
    assert match["rule"] == {
        "id": "defensiveness.non_apology.if",
        "description": "Defensiveness: non apology: if",
        "issueType": "style",
        "category": {"id": "defensiveness.non_apology", "name": "Defensiveness: non apology"},
    }
    assert match["shortMessage"] == "Defensiveness: non apology"
    assert answer["software"]["apiVersion"] == 1
    assert answer["language"]["code"] == answer["language"]["detectedLanguage"]["code"] == "en"


def test_a_long_text_is_cut_in_the_context(check):
    text = f"{'We are open. ' * 9}\n{BLAMING} {'We are open. ' * 9}"
    for match in check(text)["matches"]:
        context = match["context"]
        assert context["text"].startswith("...")
        assert context["text"].endswith("...")
        assert "\n" not in context["text"]
        assert utf16(context["text"], context) == utf16(text, match)


@pytest.mark.parametrize(
    "form, told",
    [
        ({}, False),
        ({"level": "picky"}, True),
        ({"enabledRules": f"x, {PUNCTUATION}"}, True),
        ({"enabledCategories": "spam.form"}, True),
        ({"enabledCategories": "spa"}, False),
        ({"level": "picky", "disabledRules": PUNCTUATION}, False),
        ({"level": "picky", "disabledCategories": "spam"}, False),
        ({"level": "picky", "enabledOnly": "true", "enabledRules": "spam.bait.engage"}, False),
    ],
)
def test_rules_and_categories_are_chosen(check, form, told):
    assert (PUNCTUATION in rules(check(SHOUTING, **form))) == told


def test_enabled_only_tells_nothing_else(check):
    answer = check(SHOUTING, enabledOnly="true", enabledCategories="spam.form")
    assert rules(answer)
    assert all(rule.startswith("spam.form.") for rule in rules(answer))


def test_with_data_offsets_count_the_markup(check):
    pieces = [
        {"text": "😀 Hello"}, {"markup": "<br>😀", "interpretAs": "\n"}, {"text": "We're sorry "},
        {"markup": "<b>"}, {"text": "if you feel that way"}, {"markup": "</b>"}, {"text": "."},
    ]  # fmt: skip
    source = "".join(piece.get("text", piece.get("markup")) for piece in pieces)
    (match,) = check(None, data=annotations(*pieces))["matches"]
    assert utf16(source, match) == "if you feel that way"
    assert match["replacements"]
    assert match["sentence"] == "We're sorry if you feel that way."


def test_no_edit_takes_markup_away(check):
    pieces = [
        {"text": "We're sorry if you "},
        {"markup": "<b>"},
        {"text": "feel"},
        {"markup": "</b>"},
        {"text": " that way."},
    ]
    (match,) = check(None, data=annotations(*pieces))["matches"]
    source = "".join(piece.get("text", piece.get("markup")) for piece in pieces)
    assert utf16(source, match) == "if you <b>feel</b> that way"
    assert match["replacements"] == []


def test_messages_are_in_the_reader_s_language(check):
    assert check(motherTongue="he-IL")["matches"][0]["message"] != check()["matches"][0]["message"]
    assert check(motherTongue="fr")["matches"] == check()["matches"]


def test_a_language_that_we_don_t_read_has_no_matches(check):
    answer = check("Nous sommes désolés si vous vous sentez ainsi, madame.")
    assert (answer["matches"], answer["language"]["code"]) == ([], "fr")


def test_the_languages_are_listed(client):
    assert [language["code"] for language in client.get("/v2/languages").get_json()] == ["ar", "en", "he"]


@pytest.mark.parametrize(
    "form, told",
    [
        ({"text": "a"}, "language"),
        ({"language": "en"}, "Either text or data"),
        ({"text": "a", "data": '{"annotation": []}', "language": "en"}, "Either text or data"),
        ({"text": "a", "language": "fr"}, "language"),
        ({"text": "a\0", "language": "en"}, "text"),
        ({"data": "{", "language": "en"}, "data"),
        ({"data": "[" * 100_000, "language": "en"}, "data"),
        ({"data": "[]", "language": "en"}, "data"),
        ({"data": annotations({"text": "a", "markup": "b"}), "language": "en"}, "data/annotation/0"),
        ({"data": annotations(*[{"text": "a" * 15_000}] * 2), "language": "en"}, "Longer than"),
        ({"text": "a", "language": "en", "enabledOnly": "true"}, "enabledOnly"),
        ({"text": "a", "language": "en", "enabledOnly": "yes", "enabledRules": "b", "disabledRules": "c"}, "disabled"),
        ({"text": "a", "language": "en", "level": "hard"}, "level"),
    ],
)
def test_a_wrong_form_is_told_in_a_line(client, form, told):
    response = client.post("/v2/check", data=form)
    assert (response.status_code, response.content_type) == (400, "text/plain; charset=utf-8")
    assert response.text.startswith("Error: ")
    assert told in response.text


def test_a_form_that_was_cut_off_is_refused(client):
    environ = {"CONTENT_LENGTH": "1000"}
    form = {"data": b"language=en&text=We+are", "content_type": "application/x-www-form-urlencoded"}
    assert client.post("/v2/check", environ_overrides=environ, **form).status_code == 400


# --- who may -----------------------------------------------------------------------------------


def test_keys_and_limits_hold_as_for_a_score(pipeline, tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    key, admin = store.create("editor", ["score"]), store.create("operator", ["admin"])
    settings = Settings(log_level="warning", keys=store.path, rate_limit="2/minute")
    client = create_app(settings, pipeline).test_client()
    form = {"text": BLAMING, "language": "en"}
    assert client.post("/v2/check", data=form).status_code == 401
    assert client.post("/v2/check", data=form | {"apiKey": admin}).status_code == 403
    assert client.post("/v2/check", data=form | {"apiKey": key, "username": "a"}).status_code == 200
    assert client.post("/v2/check", data=form, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    refused = client.post("/v2/check", data=form, headers={"X-Api-Key": key})
    assert (refused.status_code, refused.content_type) == (429, "text/plain; charset=utf-8")
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get("/v2/languages").status_code == 200


@pytest.mark.parametrize("origin", ["chrome-extension://abcdefgh", "moz-extension://3f2a-11", "https://cms.example"])
def test_a_listed_add_on_may_read(pipeline, monkeypatch, origin):
    monkeypatch.setenv("SOFTANSWER_CORS_ORIGINS", origin)
    client = create_app(Settings.from_environment(), pipeline).test_client()
    response = client.post("/v2/check", data={"text": "Hello.", "language": "en"}, headers={"Origin": origin})
    assert response.headers["Access-Control-Allow-Origin"] == origin
    other = client.get("/v2/languages", headers={"Origin": "chrome-extension://other"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_crash_is_told_without_the_text(client, monkeypatch, capsys):
    monkeypatch.setattr("softanswer.api.languagetool._checked", lambda asked, report: int(asked.draft.text))
    response = client.post("/v2/check", data={"text": "Xyzzy", "language": "en"})
    assert (response.status_code, response.text) == (500, "Error: Something went wrong on our side.")
    written = capsys.readouterr()
    assert "xyzzy" not in (written.out + written.err).lower()
