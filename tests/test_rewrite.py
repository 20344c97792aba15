"""POST /v1/rewrite, and the reader's language."""

import json

import pytest

COMPLAINT = "My food was cold and late, and nobody answered the phone."
DRAFT = {"text": "Sorry if you feel that way. WE DID NOTHING WRONG HERE!!!!", "context": {"in_reply_to": COMPLAINT}}


@pytest.fixture
def rewrite(client):
    def send(body, **headers):
        response = client.post("/v1/rewrite", data=json.dumps(body), content_type="application/json", headers=headers)
        return response.status_code, response.get_json()

    return send


def splice(text: str, diff: list[dict]) -> str:
    """The diff applied by its own offsets (UTF-16)."""
    units = text.encode("utf-16-le")
    for edit in reversed(diff):
        assert units[2 * edit["start"] : 2 * edit["end"]].decode("utf-16-le") == edit["quote"]
        units = units[: 2 * edit["start"]] + edit["replacement"].encode("utf-16-le") + units[2 * edit["end"] :]
    return units.decode("utf-16-le")


@pytest.mark.parametrize(
    "text, format",
    [
        (DRAFT["text"], "plain"),
        ("😀 Sorry if you feel that way. WE DID NOTHING WRONG HERE!!!!", "plain"),
        ("<p>Sorry if you feel that way.</p><p>WE DID <b>NOTHING</b> WRONG HERE &amp; NOW!!!!</p>", "html"),
        ("Sorry if you feel that way.\n\n**WE DID NOTHING WRONG HERE!!!!**", "markdown"),
    ],
)
def test_all_safe_hints_are_applied_and_the_outcome_is_scored(rewrite, text, format):
    status, body = rewrite(DRAFT | {"text": text, "format": format})
    assert status == 200
    assert body["diff"]
    assert splice(text, body["diff"]) == body["text"] != text
    before, after = (r["scores"] for r in (body["before"], body["report"]))
    assert after["defensiveness"]["value"] <= before["defensiveness"]["value"] + 0.005
    assert after["spam"]["value"] <= before["spam"]["value"] + 0.005
    assert after["relevance"]["value"] >= before["relevance"]["value"] - 0.05


def test_no_deadline_keeps_edits_from_being_measured(rewrite):
    _, body = rewrite(DRAFT | {"deadline_ms": 1})
    assert body["diff"] == rewrite(DRAFT)[1]["diff"]
    assert all(hint["gain"] for hint in body["before"]["hints"] if hint["replacements"])


def test_the_hints_asked_for_are_applied_and_no_others(rewrite):
    _, whole = rewrite(DRAFT)
    chosen = whole["diff"][0]["hint"]
    _, body = rewrite(DRAFT | {"apply": [chosen]})
    assert body["diff"] == whole["diff"][:1]
    assert rewrite(DRAFT | {"apply": []})[1]["text"] == DRAFT["text"]


@pytest.mark.parametrize("apply, pointer", [(["first"], "/apply/0"), ("h1", "/apply"), ([1], "/apply/0")])
def test_what_is_no_id_is_pointed_at(rewrite, apply, pointer):
    status, body = rewrite(DRAFT | {"apply": apply})
    assert status == 422
    assert pointer in [e["pointer"] for e in body["errors"]]


def test_a_hint_that_is_not_there_is_a_problem(rewrite):
    status, body = rewrite(DRAFT | {"apply": ["h99"]})
    assert (status, body["type"]) == (409, "urn:softanswer:problem:no-such-hint")
    assert [e["pointer"] for e in body["errors"]] == ["/apply"]


def test_a_draft_without_hints_stays_as_it_is(rewrite):
    text = (
        "You're right, forty minutes is too long, and I'm sorry. Your refund is on its way; call me, Dana, on 555 0101."
    )
    status, body = rewrite({"text": text, "context": {"in_reply_to": COMPLAINT}})
    assert status == 200
    assert splice(text, body["diff"]) == body["text"]


@pytest.mark.parametrize(
    "accept, asked, told",
    [
        ("he-IL,he;q=0.9,en;q=0.8", None, "he"),
        ("ar", None, "ar"),
        ("fr-FR,fr;q=0.9", None, "en"),
        ("*", None, "en"),
        (None, None, "en"),
        ("he", "ar", "ar"),
    ],
)
def test_hints_are_in_the_reader_s_language(client, pipeline, accept, asked, told):
    body = DRAFT | ({"hint_language": asked} if asked else {})
    headers = {"Accept-Language": accept} if accept else {}
    report = client.post("/v1/score", json=body, headers=headers).get_json()
    message = next(h["message"] for h in report["hints"] if h["cue"].startswith("defensiveness.non_apology"))
    assert message == pipeline.book.wordings[told]["non_apology"].message
