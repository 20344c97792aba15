"""The Perspective API's shape: with real clients against the running server, and field by field."""

import json
import shutil
import subprocess

import pytest
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from test_faults import serving

from softanswer.api.perspective import ATTRIBUTES
from softanswer.app import create_app
from softanswer.keys import KeyStore
from softanswer.settings import Settings

RUDE = "😀 You are an idiot. Thank you for writing!"
# As much of Google's description of the API as a client needs.
DISCOVERY = {
    "name": "commentanalyzer",
    "version": "v1alpha1",
    "rootUrl": "https://commentanalyzer.googleapis.com/",
    "servicePath": "",
    "parameters": {"key": {"type": "string", "location": "query"}},
    "schemas": {name: {"id": name, "type": "object"} for name in ("Request", "Response")},
    "resources": {
        "comments": {
            "methods": {
                "analyze": {
                    "id": "commentanalyzer.comments.analyze",
                    "path": "v1alpha1/comments:analyze",
                    "httpMethod": "POST",
                    "parameters": {},
                    "request": {"$ref": "Request"},
                    "response": {"$ref": "Response"},
                }
            }
        }
    },
}
# This client knows one address alone, so that its requests are led to ours.
SCRIPT = """
const [root, key, text] = process.argv.slice(2);
const axios = require('axios');
axios.interceptors.request.use(c => ({...c, url: c.url.replace('https://commentanalyzer.googleapis.com', root)}));
const Perspective = require('perspective-api-client');
new Perspective({apiKey: key}).analyze(text, {attributes: ['toxicity', 'defensiveness']})
  .then(found => console.log(JSON.stringify(found)), error => console.log(JSON.stringify({refused: error.message})));
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a running server and a key that works there."""
    folder = tmp_path_factory.mktemp("server")
    store = KeyStore(folder / "keys.db")
    key = store.create("forum", ["score"])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOFTANSWER_KEYS", str(store.path))
        # It is ready when /readyz says so, which needs no key.
        with serving(folder) as server:
            yield f"http://127.0.0.1:{server.port}", key


def google(root: str, key: str | None):
    return build_from_document(DISCOVERY, developerKey=key, client_options={"api_endpoint": root})


@pytest.fixture
def analyze(client):
    """Analyze a comment and return (status, answer): analyze('text', {'TONE': {}}, languages=['en'])."""

    def ask(text: str, attributes: dict, **others) -> tuple[int, dict]:
        body = {"comment": {"text": text}, "requestedAttributes": attributes, **others}
        response = client.post("/v1alpha1/comments:analyze", json=body)
        return response.status_code, response.get_json()

    return ask


# --- real clients ------------------------------------------------------------------------------


def test_google_s_client_gets_scores(served):
    body = {
        "comment": {"text": RUDE, "type": "PLAIN_TEXT"},
        "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY"}, "TONE": {}},
        "languages": ["en"], "doNotStore": True, "clientToken": "a-1", "spanAnnotations": True,
    }  # fmt: skip
    answer = google(*served).comments().analyze(body=body).execute()
    assert answer["clientToken"] == "a-1"
    assert answer["languages"] == ["en"]
    rude, kind = answer["attributeScores"]["TOXICITY"]["spanScores"]
    assert (rude["begin"], rude["end"], kind["end"]) == (0, 20, len(RUDE) + 1)
    assert rude["score"]["value"] > 0.5 > kind["score"]["value"]


def test_google_s_client_is_told_what_is_wrong(served):
    root, key = served
    body = {"comment": {"text": RUDE}, "requestedAttributes": {"THREAT": {}}}
    with pytest.raises(HttpError) as caught:
        google(root, key).comments().analyze(body=body).execute()
    assert caught.value.status_code == 400
    assert "Unknown requested attribute" in caught.value.reason
    with pytest.raises(HttpError) as caught:
        google(root, "sa_000000000000_" + "a" * 43).comments().analyze(body=body).execute()
    assert caught.value.status_code == 401


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Run the client from npm: node(root, key, text)."""
    if not shutil.which("npm"):
        pytest.skip("NOT TESTED: npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "perspective-api-client@3.1.0"]
    if subprocess.run(install, cwd=folder, capture_output=True).returncode:
        pytest.skip("NOT TESTED: npm cannot install the client")
    (folder / "ask.js").write_text(SCRIPT, encoding="utf8")

    def run(*arguments: str) -> dict:
        ran = subprocess.run(["node", "ask.js", *arguments], cwd=folder, capture_output=True, check=True)
        return json.loads(ran.stdout)

    return run


def test_npm_s_client_gets_scores(served, node):
    answer = node(*served, RUDE)
    assert set(answer["attributeScores"]) == {"TOXICITY", "DEFENSIVENESS"}
    assert node(served[0], "wrong", RUDE) == {
        "refused": "This needs an API key: none was sent, or not one that works here."
    }


# --- field by field ----------------------------------------------------------------------------


def test_every_attribute_is_a_score_of_the_report(analyze, post):
    context = {"articleAndParentComment": {"parentComment": {"text": "My soup was cold!"}}}
    text = "We're sorry that your soup was cold."
    status, answer = analyze(text, {name: {} for name in ATTRIBUTES}, context=context)
    report = post({"text": text, "kind": "reply", "context": {"in_reply_to": "My soup was cold!"}})[1]["scores"]
    values = {name: scores["summaryScore"]["value"] for name, scores in answer["attributeScores"].items()}
    hostility = report["tone"]["dimensions"]["hostility"]
    assert status == 200
    assert values == {
        **{name.upper(): score["value"] for name, score in report.items()},
        **{name.upper(): value for name, value in report["tone"]["dimensions"].items()},
        "TOXICITY": hostility, "INSULT": hostility,
    }  # fmt: skip
    entries = {"entries": [{"text": "Hello"}, {"text": "My soup was cold!"}]}
    assert (
        analyze(text, {"RELEVANCE": {}}, context=entries)[1]["attributeScores"]["RELEVANCE"]
        == (answer["attributeScores"]["RELEVANCE"])
    )


def test_without_span_annotations_one_span_holds_all(analyze):
    scores = analyze(RUDE, {"HOSTILITY": {}})[1]["attributeScores"]["HOSTILITY"]
    assert scores["spanScores"] == [{"begin": 0, "end": len(RUDE) + 1, "score": scores["summaryScore"]}]
    assert scores["summaryScore"]["type"] == "PROBABILITY"


def test_what_lies_below_its_threshold_is_left_out(analyze):
    asked = {"TOXICITY": {"scoreThreshold": 0.3}, "TONE": {"scoreThreshold": 1.0}}
    scores = analyze(RUDE, asked, spanAnnotations=True)[1]["attributeScores"]
    assert list(scores) == ["TOXICITY"]
    assert [span["begin"] for span in scores["TOXICITY"]["spanScores"]] == [0]


def test_spans_of_html_point_into_the_markup(analyze):
    text = "<p>You are an <b>idiot</b>.</p><p>Thanks!</p>"
    body = {"comment": {"text": text, "type": "HTML"}, "spanAnnotations": True}
    scores = analyze("", {"TOXICITY": {}}, **body)[1]["attributeScores"]["TOXICITY"]
    quotes = [text[span["begin"] : span["end"]] for span in scores["spanScores"]]
    assert quotes == ["You are an <b>idiot</b>.", "Thanks!"]


def test_languages_are_told(analyze):
    told = analyze("مرحبا", {"TONE": {}}, languages=["ar"])[1]
    assert (told["languages"], "detectedLanguages" in told) == (["ar"], False)
    found = analyze("שלום, תודה רבה לך", {"TONE": {}})[1]
    assert found["languages"] == found["detectedLanguages"] == ["he"]


@pytest.mark.parametrize(
    "body, error_type, told",
    [
        ({"comment": {"text": ""}}, "COMMENT_EMPTY", "non-empty"),
        ({"comment": {"text": "a" * 20_001}}, "COMMENT_TOO_LONG", "20000"),
        ({"requestedAttributes": {}}, "NO_REQUESTED_ATTRIBUTES", "requested_attributes"),
        ({"requestedAttributes": {"SEVERE_TOXICITY": {}}}, "INVALID_REQUEST", "Unknown requested attribute"),
        ({"requestedAttributes": {"TONE": {"scoreType": "RAW"}}}, "INVALID_REQUEST", "scoreType"),
        ({"requestedAttributes": {"RELEVANCE": {}}}, "INVALID_REQUEST", "RELEVANCE"),
        ({"comment": {"text": "!!!"}}, "LANGUAGE_DETECTION_FAILED", "Unable to detect language"),
        ({"languages": ["fr"]}, "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE", "TONE does not support request languages: fr"),
        ({"comment": {"text": "Bonjour madame, je suis désolé."}}, "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE", "fr"),
        ({"context": {"entries": [{"text": "a"}], "articleAndParentComment": {"article": {"text": "b"}}}},
         "INVALID_REQUEST", "either entries or articleAndParentComment"),
        ({"other": 1}, "INVALID_REQUEST", "other"),
    ],
)  # fmt: skip
def test_errors_are_in_google_s_shape(client, body, error_type, told):
    request = {"comment": {"text": "Hello there"}, "requestedAttributes": {"TONE": {}}} | body
    response = client.post("/v1alpha1/comments:analyze", json=request)
    error = response.get_json()["error"]
    assert (response.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["errorType"] == error_type
    assert told in error["message"]


@pytest.mark.parametrize(
    "data, content_type, status", [(b"{", "application/json", 400), (b"{}", "text/plain", 415)], ids=["no JSON", "text"]
)
def test_a_body_that_is_no_json_too(client, data, content_type, status):
    response = client.post("/v1alpha1/comments:analyze", data=data, content_type=content_type)
    assert (response.status_code, response.get_json()["error"]["code"]) == (status, status)


def test_keys_and_limits_hold_as_for_a_score(pipeline, tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    key, admin = store.create("forum", ["score"]), store.create("operator", ["admin"])
    settings = Settings(log_level="warning", keys=store.path, rate_limit="1/minute")
    client = create_app(settings, pipeline).test_client()
    body = {"comment": {"text": "Hello there"}, "requestedAttributes": {"TONE": {}}}

    def ask(key: str):
        response = client.post(f"/v1alpha1/comments:analyze?key={key}", json=body)
        return response.status_code, response.get_json().get("error", {}).get("status")

    assert ask("") == (401, "UNAUTHENTICATED")
    assert ask(admin) == (403, "PERMISSION_DENIED")
    assert ask(key) == (200, None)
    assert ask(key) == (429, "RESOURCE_EXHAUSTED")
    assert client.post(f"/v1/score?key={key}", json={"text": "Hello"}).status_code in (401, 429)


def test_a_crash_is_told_without_the_text(client, monkeypatch, capsys):
    monkeypatch.setattr("softanswer.api.perspective._draft", lambda asked: int(asked["comment"]["text"]))
    body = {"comment": {"text": "Xyzzy"}, "requestedAttributes": {"TONE": {}}}
    response = client.post("/v1alpha1/comments:analyze", json=body)
    assert response.get_json() == {
        "error": {"code": 500, "message": "Something went wrong on our side.", "status": "INTERNAL"}
    }
    written = capsys.readouterr()
    assert "xyzzy" not in (written.out + written.err).lower()
