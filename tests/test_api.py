import json

import pytest

from softanswer.api.problems import CONTENT_TYPE

INVALID = "urn:softanswer:problem:invalid-fields"


@pytest.mark.parametrize(
    "body, pointer",
    [
        pytest.param({}, "/text", id="no text"),
        pytest.param({"text": ""}, "/text", id="an empty text"),
        pytest.param({"text": "a" * 20_001}, "/text", id="20,001 characters"),
        pytest.param({"text": None}, "/text", id="a null text"),
        pytest.param({"text": 3}, "/text", id="a number for a text"),
        pytest.param({"text": "a\0b"}, "/text", id="a NUL character"),
        pytest.param({"text": "a\ud800b"}, "/text", id="half a surrogate pair"),
        pytest.param({"text": "a", "tone": 1}, "/tone", id="an unknown field"),
        pytest.param({"text": "a", "language": "xx"}, "/language", id="a language that we don't have"),
        pytest.param({"text": "a", "hint_language": "fr"}, "/hint_language", id="a hint language that we don't have"),
        pytest.param({"text": "a", "offset_encoding": "utf-32"}, "/offset_encoding", id="an unknown offset encoding"),
        pytest.param({"text": "a", "kind": "tweet"}, "/kind", id="an unknown kind"),
        pytest.param({"text": "a", "format": "pdf"}, "/format", id="an unknown format"),
        pytest.param({"text": "a", "checks": ["tone", "love"]}, "/checks/1", id="an unknown check"),
        pytest.param({"text": "a", "checks": []}, "/checks", id="no check"),
        pytest.param({"text": "a", "policy": "mine"}, "/policy", id="an unknown policy"),
        pytest.param({"text": "a", "gain": "yes"}, "/gain", id="a word for a truth value"),
        pytest.param({"text": "a", "deadline_ms": 0}, "/deadline_ms", id="no time at all"),
        pytest.param(
            {"text": "a", "context": {"in_reply_to": ["x"]}}, "/context/in_reply_to", id="a list for a message"
        ),
        pytest.param({"text": "a", "context": {"publish_at": "soon"}}, "/context/publish_at", id="no date"),
        pytest.param(
            {"text": "a", "context": {"thread": [{"text": "x"}]}}, "/context/thread/0/author", id="nobody's words"
        ),
        pytest.param({"text": "a", "brand": {"topics": ["x"] * 51}}, "/brand/topics", id="51 topics"),
        pytest.param(
            {"text": "a", "brand": {"topics": ["x" * 501]}}, "/brand/topics/0", id="a topic of 501 characters"
        ),
        pytest.param({"text": "a", "a/b~c": 1}, "/a~1b~0c", id="a pointer with escapes"),
        pytest.param({"text": "a", "\udc00": 1}, "/\ufffd", id="half a surrogate pair for a name"),
        pytest.param({"text": "a", "context": {"channel": "x\0"}}, "/context/channel", id="NUL in a channel"),
    ],
)
def test_a_wrong_field_is_pointed_at(post, body, pointer):
    status, problem = post(body)
    assert (status, problem["type"], problem["status"]) == (422, INVALID, 422)
    assert [e["pointer"] for e in problem["errors"]] == [pointer]
    assert problem["errors"][0]["detail"]


def test_all_wrong_fields_are_told_at_once(post):
    _, problem = post({"text": "", "kind": "x", "y": 1})
    assert {e["pointer"] for e in problem["errors"]} == {"/text", "/kind", "/y"}


@pytest.mark.parametrize(
    "data, content_type, status, slug",
    [
        pytest.param(b"{", "application/json", 400, "not-json", id="not JSON"),
        pytest.param(b"", "application/json", 422, "invalid-fields", id="no body"),
        pytest.param(b'{"text": "\xff\xfe"}', "application/json", 400, "not-json", id="invalid UTF-8"),
        pytest.param(b"[" * 100_000, "application/json", 400, "not-json", id="nested too deep"),
        pytest.param(b"\x00\x01\x02", "application/json", 400, "not-json", id="binary"),
        pytest.param(
            b'{"text": "a", "x": ' + b"9" * 5_000 + b"}", "application/json", 400, "not-json", id="5,000 digits"
        ),
        pytest.param(b"[1]", "application/json", 422, "invalid-fields", id="a list"),
        pytest.param(b"null", "application/json", 422, "invalid-fields", id="null"),
        pytest.param(b'{"text": "' + b"a" * 2_097_152 + b'"}', "application/json", 413, "too-large", id="2 MiB"),
        pytest.param(b"text=hi", "application/x-www-form-urlencoded", 415, "wrong-content-type", id="a form"),
        pytest.param(b'{"text": "hi"}', "text/plain", 415, "wrong-content-type", id="JSON by another name"),
    ],
)
def test_a_body_that_cannot_be_read(client, data, content_type, status, slug):
    response = client.post("/v1/score", data=data, content_type=content_type)
    assert response.status_code == status
    assert response.content_type == CONTENT_TYPE
    assert response.get_json()["type"] == f"urn:softanswer:problem:{slug}"


@pytest.mark.parametrize(
    "method, path, status, slug",
    [
        ("get", "/nope", 404, "not-found"),
        ("get", "/v1/score", 405, "method-not-allowed"),
        ("delete", "/v1/info", 405, "method-not-allowed"),
    ],
)
def test_unknown_paths_and_methods_are_problems_too(client, method, path, status, slug):
    response = getattr(client, method)(path)
    assert response.status_code == status
    assert response.content_type == CONTENT_TYPE
    assert response.get_json()["type"].endswith(slug)
    assert status != 405 or "Allow" in response.headers


@pytest.mark.parametrize(
    "text, tag, reason",
    [
        pytest.param("😀😀😀", "und", "no_text", id="only emoji"),
        pytest.param("123 !!", "und", "no_text", id="only digits"),
        pytest.param("Спасибо за ваш отзыв, мы разберёмся", "ru", "unsupported_language", id="another language"),
        pytest.param("   ", "und", "no_text", id="only spaces"),
    ],
)
def test_what_cannot_be_judged_says_so(post, text, tag, reason):
    status, report = post({"text": text})
    assert (status, report["language"]["tag"], report["scores"]) == (200, tag, {})
    assert report["not_evaluated"] == [
        {"check": c, "reason": reason} for c in ("tone", "defensiveness", "relevance", "spam")
    ]
    assert report["verdict"]["action"] == "publish"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/x",
        "\u202eevil\u202c text",
        "x",
        "\n\n\n",
        "<b>",
        "a\u0300" * 500,
        "שלום hello مرحبا",
        "\ufeffhi",
    ],
    ids=[
        "only a link",
        "bidi controls",
        "one letter",
        "only lines",
        "a lone tag",
        "many marks",
        "three languages",
        "a BOM",
    ],
)
@pytest.mark.parametrize("format", ["plain", "html", "markdown"])
def test_odd_texts_are_ordinary(post, text, format):
    status, report = post({"text": text, "format": format})
    assert status == 200
    assert report["content_hash"].startswith("sha256:")


def test_a_report_has_what_the_contract_names(post):
    status, report = post(
        {
            "text": "Sorry if you feel that way.",
            "context": {"in_reply_to": "My soup was cold."},
            "kind": None,
            "language": None,
        }
    )
    assert status == 200
    assert list(report) == [
        "id", "kind", "language", "scores", "hints", "unanswered", "verdict", "not_evaluated", "degraded", "content_hash", "receipt", "versions",
    ]  # fmt: skip
    assert list(report["scores"]) == ["tone", "defensiveness", "relevance", "spam"]
    assert set(report["scores"]["tone"]["dimensions"]) == {
        "warmth",
        "politeness",
        "formality",
        "hostility",
        "enthusiasm",
    }
    assert report["scores"]["relevance"]["to"] == "in_reply_to"
    evidence = report["scores"]["defensiveness"]["evidence"][0]
    assert set(evidence) == {"cue", "start", "end", "quote", "weight"}
    assert set(report["versions"]) == {"service", "cues", "model", "calibration"}
    hint = report["hints"][0]
    assert hint["id"] == "h1"
    assert hint["quote"].startswith("if you feel")


def test_checks_limit_what_is_scored(post):
    _, report = post({"text": "Sorry about the wait.", "checks": ["spam"]})
    assert list(report["scores"]) == ["spam"]
    assert report["not_evaluated"] == []


def test_no_context_means_no_relevance(post):
    _, report = post({"text": "Fresh bread from seven."})
    assert report["kind"] == "post"
    assert report["not_evaluated"] == [{"check": "relevance", "reason": "no_context"}]


@pytest.mark.parametrize(
    "draft, reason",
    [
        ({"context": {"in_reply_to": "   "}}, "no_context"),
        ({"context": {"in_reply_to": "😡😡"}}, "no_context"),
        ({"brand": {"topics": ["  "]}}, "no_context"),
        (
            {"context": {"in_reply_to": "Ma commande est arrivée froide et en retard, personne ne répond"}},
            "unsupported_language",
        ),
    ],
)
def test_relevance_needs_something_that_can_be_read(post, draft, reason):
    _, report = post({"text": "We are open until six."} | draft)
    assert {"check": "relevance", "reason": reason} in report["not_evaluated"]
    assert not [h for h in report["hints"] if h["cue"] == "relevance.off_topic"]


def test_what_cannot_be_read_is_not_found_missing(post):
    complaint = {"in_reply_to": "Waited 40 minutes for a cold pizza and nobody picked up the phone."}
    for text in ("Bonjour, nous sommes vraiment désolés pour le retard, nous vous remboursons demain", "😀😀"):
        assert post({"text": text, "context": complaint})[1]["hints"] == []


def test_a_post_is_held_against_the_brand(post):
    _, report = post({"text": "Fresh bread at seven.", "kind": "post", "context": {"in_reply_to": "Where is my bag?"},
                      "brand": {"topics": ["bakery"]}})  # fmt: skip
    assert report["scores"]["relevance"]["to"] == "brand"


def test_a_thread_makes_a_reply(post):
    thread = [{"author": "customer", "text": "It leaks."}, {"author": "other", "text": "Mine too."}]
    thread.append({"author": "customer", "text": " "})
    _, report = post({"text": "Sorry, we'll send a plumber.", "context": {"thread": thread}})
    assert report["kind"] == "reply"


@pytest.mark.parametrize("encoding", ["utf-16", "code-point", "utf-8"])
@pytest.mark.parametrize(
    "text, format",
    [
        ("😀 Sorry if you feel that way, שלום", "plain"),
        ("<p>😀 Sorry <b>if you</b> feel &amp; such</p>", "html"),
        ("😀 **Sorry** if you feel", "markdown"),
        ("😀 מצטערים אם נפגעת", "plain"),
    ],
)
def test_offsets_slice_the_submitted_text(post, text, format, encoding):
    _, report = post(
        {
            "text": text,
            "format": format,
            "kind": "reply",
            "offset_encoding": encoding,
            "context": {"in_reply_to": "It broke!"},
        }
    )
    found = [e for s in report["scores"].values() for e in s["evidence"]] + report["hints"]
    assert any(e["quote"] for e in found)
    for e in found:
        if encoding == "utf-16":
            sliced = text.encode("utf-16-le")[2 * e["start"] : 2 * e["end"]].decode("utf-16-le")
        elif encoding == "utf-8":
            sliced = text.encode()[e["start"] : e["end"]].decode()
        else:
            sliced = text[e["start"] : e["end"]]
        assert sliced == e["quote"]


def test_a_bad_draft_in_a_batch_spares_the_others(client):
    drafts = [{"text": "hello there"}, {"text": ""}, {"text": "x", "zz": 1}, None, {"text": "שלום לך"}]
    results = client.post("/v1/score/batch", json={"drafts": drafts}).get_json()["results"]
    assert [list(r)[0] for r in results] == ["report", "problem", "problem", "problem", "report"]
    assert [r["problem"]["errors"][0]["pointer"] for r in results[1:4]] == [
        "/drafts/1/text",
        "/drafts/2/zz",
        "/drafts/3",
    ]
    assert results[4]["report"]["language"]["tag"] == "he"


@pytest.mark.parametrize("count", [0, 129])
def test_a_batch_has_bounds(client, count):
    response = client.post("/v1/score/batch", json={"drafts": [{"text": "a"}] * count})
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/drafts"


def test_a_batch_of_128_answers_in_order(client):
    drafts = [{"text": f"Order {n} ships today.", "gain": False} for n in range(128)]
    results = client.post("/v1/score/batch", json={"drafts": drafts}).get_json()["results"]
    assert len(results) == 128
    alone = client.post("/v1/score", json=drafts[77]).get_json()
    assert results[77]["report"]["content_hash"] == alone["content_hash"]
    for name, score in alone["scores"].items():
        assert results[77]["report"]["scores"][name]["value"] == pytest.approx(score["value"], abs=0.02)


def test_what_the_service_says_about_itself(client):
    info = client.get("/v1/info").get_json()
    assert info["limits"] == {
        "max_chars": 20_000, "max_body_bytes": 1_048_576, "max_batch": 128,
        "max_thread": 100, "max_recent_posts": 100, "max_topics": 50, "permits": 16,
    }  # fmt: skip
    assert info["policies"][0].startswith("default@")
    languages = {entry["tag"]: entry for entry in client.get("/v1/languages").get_json()["languages"]}
    assert {tag: entry["direction"] for tag, entry in languages.items()} == {"ar": "rtl", "en": "ltr", "he": "rtl"}
    cues = client.get("/v1/cues").get_json()["cues"]
    assert {cue["language"] for cue in cues} == {None, "en", "ar", "he"}
    assert all(cue["source"] for cue in cues)
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json() == {"status": "ready"}


def test_metrics_count_and_hold_no_text(client, post):
    post({"text": "xyzzymarker sorry about that"})
    metrics = client.get("/metrics").get_data(as_text=True)
    assert 'softanswer_requests_total{endpoint="score.score",status="200"}' in metrics
    assert "softanswer_drafts_total" in metrics
    assert "xyzzymarker" not in metrics


def test_the_documentation_needs_nothing_from_outside(client):
    page = client.get("/docs").get_data(as_text=True)
    assert "http" not in page
    for asset in ("/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css", "/docs/start.js"):
        assert asset in page
        assert client.get(asset).status_code == 200


def test_a_request_id_is_kept_if_it_is_sane(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "a b"}).headers["X-Request-ID"] != "a b"


def test_a_crash_is_a_problem_and_leaks_nothing(app, monkeypatch, capsys):
    def crash(*_):
        raise RuntimeError("secretmarker")

    monkeypatch.setattr("softanswer.api.score.render", crash)
    response = app.test_client().post("/v1/score", json={"text": "secretmarker hello"})
    assert response.status_code == 500
    assert response.content_type == CONTENT_TYPE
    body = response.get_json()
    assert body["request_id"] == response.headers["X-Request-ID"]
    out = capsys.readouterr()
    assert "secretmarker" not in json.dumps(body) + out.out + out.err
    assert "RuntimeError" in out.out


@pytest.mark.parametrize("error, status", [("UnknownPolicy", 422), ("DataFault", 500)])
def test_our_own_exceptions_have_a_row_in_the_table_or_are_crashes(app, monkeypatch, error, status):
    import softanswer.domain

    def fail(*_):
        raise getattr(softanswer.domain, error)("mine")

    monkeypatch.setattr("softanswer.pipeline.Pipeline.run", fail)
    response = app.test_client().post("/v1/score", json={"text": "hello"})
    assert (response.status_code, response.content_type) == (status, CONTENT_TYPE)
