"""The guard: keys, rate limit, CORS, headers; and that nothing written in a request is ever written down."""

import json
import logging
import re
import sqlite3
import time
from dataclasses import replace

import pytest
import structlog
import yaml
from click.testing import CliRunner

from openapi.generate import PATH
from softanswer.app import create_app
from softanswer.cli import main
from softanswer.domain import KeysFault
from softanswer.keys import KeyStore
from softanswer.settings import InvalidSettings, Settings

URN = "urn:softanswer:problem:"
DRAFT = {"text": "Fresh bread from seven.", "gain": False}


@pytest.fixture
def serve(pipeline):
    """Make an application with settings of its own: serve(rate_limit='2/minute')."""
    before = structlog.get_config()
    yield lambda **values: create_app(replace(Settings(log_level="debug"), **values), pipeline).test_client()
    structlog.configure(**before)


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "my keys?.db")


@pytest.fixture
def command(store, monkeypatch):
    """Run `softanswer keys ...` on the store's file."""
    monkeypatch.setenv("SOFTANSWER_KEYS", str(store.path))
    return lambda *arguments: CliRunner().invoke(main, ["keys", *arguments])


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


# --- keys --------------------------------------------------------------------------------------


def test_a_key_is_printed_once_and_only_its_hash_is_kept(command, store):
    key = command("create", "my-cms").stdout.strip()
    assert re.fullmatch(r"sa_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    secret = key.split("_", 2)[2]
    assert secret.encode() not in store.path.read_bytes()
    listed = command("list").output
    assert secret not in listed
    assert listed.split("\t")[:3] == [key.split("_")[1], "my-cms", "score"]
    assert "created 20" in listed


def test_a_key_that_is_made_or_revoked_elsewhere_counts_at_once(command, serve, store):
    command("create", "first")
    client = serve(keys=store.path)
    key = command("create", "later").stdout.strip()
    assert client.post("/v1/score", json=DRAFT, headers=bearer(key)).status_code == 200
    assert client.post("/v1/score", json=DRAFT, headers={"X-Api-Key": key}).status_code == 200
    told = command("revoke", key.split("_")[1])
    assert (told.exit_code, told.output) == (0, f"{key.split('_')[1]} is revoked.\n")
    assert client.post("/v1/score", json=DRAFT, headers=bearer(key)).status_code == 401
    assert command("list").output.count("\trevoked 20") == 1


def test_reading_the_keys_takes_a_small_part_of_a_request(store):
    key = [store.create(f"cms {n}", ["score"]) for n in range(50)][25]
    times = []
    for _ in range(100):
        started = time.perf_counter()
        assert store.find(key)
        times.append(time.perf_counter() - started)
    assert sorted(times)[50] < 0.002


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no key"),
        pytest.param({"Authorization": "Bearer "}, id="an empty bearer"),
        pytest.param({"Authorization": "Bearer sa_000000000000_" + "a" * 43}, id="an id that we don't have"),
        pytest.param({"Authorization": "Basic YTpi"}, id="a password"),
        pytest.param({"X-Api-Key": "\xe9' OR 1=1 --"}, id="no key at all"),
    ],
)
def test_without_a_key_that_works_it_is_401(serve, store, headers):
    store.create("a", ["score", "admin"])
    client = serve(keys=store.path)
    for response in (
        client.post("/v1/score", json=DRAFT, headers=headers),
        client.post("/v1/score/batch", json={"drafts": [DRAFT]}, headers=headers),
        client.get("/metrics", headers=headers),
        client.post("/nope", headers=headers),
    ):
        assert (response.status_code, response.get_json()["type"]) == (401, URN + "key-needed")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert response.content_type == "application/problem+json"


def test_a_wrong_secret_with_a_right_id_is_401(serve, store):
    key = store.create("a", ["score"])
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert serve(keys=store.path).post("/v1/score", json=DRAFT, headers=bearer(wrong)).status_code == 401


@pytest.mark.parametrize(
    "scope, score, metrics", [("score", 200, 403), ("admin", 403, 200)], ids=["score scores", "admin sees metrics"]
)
def test_a_key_is_good_for_its_scope_alone(serve, store, scope, score, metrics):
    headers, client = bearer(store.create("a", [scope])), serve(keys=store.path)
    scored, seen = client.post("/v1/score", json=DRAFT, headers=headers), client.get("/metrics", headers=headers)
    assert (scored.status_code, seen.status_code) == (score, metrics)
    refused = scored if score == 403 else seen
    assert refused.get_json()["type"] == URN + "scope-needed"


@pytest.mark.parametrize(
    "path", ["/v1/info", "/v1/languages", "/healthz", "/readyz", "/docs", "/docs/start.js", "/openapi.json"]
)
def test_what_holds_no_draft_is_open(serve, store, path):
    store.create("a", ["score"])
    assert serve(keys=store.path).get(path).status_code == 200


def test_a_service_without_keys_asks_for_none(client):
    assert client.post("/v1/score", json=DRAFT).status_code == 200
    assert client.get("/metrics").status_code == 200


def test_a_file_of_keys_that_breaks_lets_nobody_in(serve, store, capsys):
    key = store.create("a", ["score"])
    client = serve(keys=store.path)
    store.path.write_bytes(b"no database" * 100)
    assert client.post("/v1/score", json=DRAFT, headers=bearer(key)).status_code == 500
    assert "KeysFault" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["list"], "cannot be used as a file of keys"),
        (["revoke", "x"], "cannot be used as a file of keys"),
        (["create", "x", "--scope", "all"], "'all' is not one of"),
    ],
)
def test_a_fault_with_keys_is_told_without_a_trace(command, arguments, told):
    result = command(*arguments)
    assert result.exit_code != 0
    assert told in result.output
    assert "Traceback" not in result.output


def test_a_key_that_is_not_there_cannot_be_revoked(store):
    store.create("a", ["score"])
    with pytest.raises(KeysFault, match="No key has this id"):
        store.revoke("b")


def test_the_command_says_that_it_needs_a_file():
    assert "SOFTANSWER_KEYS names no file" in CliRunner().invoke(main, ["keys", "list"]).output


def test_a_name_is_data(store):
    store.create("'); DROP TABLE keys; --", ["score"])
    assert [key.name for key in store.all()] == ["'); DROP TABLE keys; --"]
    assert sqlite3.connect(store.path).execute("SELECT count(*) FROM keys").fetchone() == (1,)


def test_every_post_of_the_contract_says_what_it_may_be_refused_for():
    for path, operations in yaml.safe_load(PATH.read_text(encoding="utf8"))["paths"].items():
        for method, operation in operations.items():
            assert ("security" in operation) == (method == "post"), path
            assert method != "post" or {"401", "403", "429"} <= set(operation["responses"]), path


# --- who can reach it --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "cms.example", ""])
def test_a_service_that_strangers_can_reach_needs_keys_or_a_word(host, store):
    with pytest.raises(InvalidSettings, match="SOFTANSWER_OPEN"):
        Settings(host=host).check_access()
    Settings(host=host, open=True).check_access()
    with pytest.raises(InvalidSettings, match="there is no file"):
        Settings(host=host, keys=store.path).check_access()
    store.create("a", ["score"])
    Settings(host=host, keys=store.path).check_access()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1"])
def test_on_loopback_nothing_is_needed(host):
    Settings(host=host).check_access()


def test_serve_refuses_with_a_message(monkeypatch):
    monkeypatch.setenv("SOFTANSWER_HOST", "0.0.0.0")
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: SOFTANSWER_HOST: on 0.0.0.0 anyone")


@pytest.mark.parametrize(
    "name, value",
    [
        ("OPEN", "perhaps"),
        ("RATE_LIMIT", "often"),
        ("RATE_STORE", "file:///x"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://A.example"),
    ],
)
def test_a_setting_that_makes_no_sense_is_told(monkeypatch, name, value):
    monkeypatch.setenv(f"SOFTANSWER_{name}", value)
    with pytest.raises(InvalidSettings, match=f"SOFTANSWER_{name}: "):
        Settings.from_environment()


def test_the_settings_of_the_guard_are_read(monkeypatch):
    monkeypatch.setenv("SOFTANSWER_RATE_LIMIT", "10/second;600/minute")
    monkeypatch.setenv("SOFTANSWER_RATE_STORE", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("SOFTANSWER_CORS_ORIGINS", "https://a.example, http://[::1]:3000")
    settings = Settings.from_environment()
    assert (settings.rate_limit, settings.rate_store) == ("10/second;600/minute", "redis://127.0.0.1:6379/0")
    assert settings.cors_origins == ("https://a.example", "http://[::1]:3000")


# --- rate limit --------------------------------------------------------------------------------


def test_over_the_limit_it_is_429_and_says_when_to_come_back(serve):
    client = serve(rate_limit="2/minute")
    answers = [client.post("/v1/score", json=DRAFT) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a.headers["RateLimit-Remaining"] for a in answers] == ["1", "0", "0"]
    assert {a.headers["RateLimit-Limit"] for a in answers} == {"2"}
    assert ["Retry-After" in a.headers for a in answers] == [False, False, True]
    assert answers[2].get_json()["type"] == URN + "over-limit"
    assert answers[2].headers["Retry-After"] == answers[2].headers["RateLimit-Reset"]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert client.get("/v1/info").status_code == 200
    assert "RateLimit-Limit" not in client.get("/healthz").headers


def test_what_retry_after_says_holds(serve):
    client = serve(rate_limit="1/second")
    while (response := client.post("/v1/score", json=DRAFT)).status_code == 200:
        pass
    time.sleep(int(response.headers["Retry-After"]))
    assert client.post("/v1/score", json=DRAFT).status_code == 200


def test_a_batch_counts_as_many_as_its_drafts(serve):
    client = serve(rate_limit="10/minute")
    answers = [client.post("/v1/score/batch", json={"drafts": [DRAFT] * n}) for n in (6, 4, 1)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a.headers["RateLimit-Remaining"] for a in answers] == ["4", "0", "0"]
    assert serve(rate_limit="10/minute").post("/v1/score/batch", json={"drafts": [DRAFT] * 11}).status_code == 429


def test_a_rewriting_counts_as_the_two_drafts_that_it_scores(serve):
    client = serve(rate_limit="3/minute")
    assert [client.post("/v1/rewrite", json=DRAFT).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    "data, status",
    [
        (b"[" * 100_000, 400),
        (b'{"drafts": 3}', 422),
        (b"[1]", 422),
        (b"{", 400),
        (b'{"drafts": "' + b"a" * 2_097_152 + b'"}', 413),
    ],
    ids=["nested too deep", "a number of drafts", "a list", "no JSON", "2 MiB"],
)
def test_a_batch_that_cannot_be_counted_is_refused_as_ever(serve, data, status):
    client = serve(rate_limit="10/minute")
    assert client.post("/v1/score/batch", data=data, content_type="application/json").status_code == status


def test_each_key_has_its_own_limit_and_so_have_those_without(serve, store):
    one, two = store.create("one", ["score"]), store.create("two", ["score"])
    client = serve(rate_limit="1/minute", keys=store.path)

    def ask(headers, address="192.0.2.1"):
        return client.post(
            "/v1/score", json=DRAFT, headers=headers, environ_overrides={"REMOTE_ADDR": address}
        ).status_code

    assert [ask(bearer(one)), ask(bearer(one), "192.0.2.2"), ask(bearer(two))] == [200, 429, 200]
    assert [ask({}), ask(bearer("wrong")), ask({}, "192.0.2.2")] == [401, 429, 401]


def test_a_store_that_is_away_leaves_each_worker_to_count(serve, capfd):
    client = serve(rate_limit="1/minute", rate_store="redis://127.0.0.1:1/0")
    assert [client.post("/v1/score", json=DRAFT).status_code for _ in range(2)] == [200, 429]


# --- browsers ----------------------------------------------------------------------------------

ORIGIN = "https://cms.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def test_no_page_of_another_origin_may_read_unless_it_is_listed(client, serve):
    assert "Access-Control-Allow-Origin" not in client.get("/v1/info", headers={"Origin": ORIGIN}).headers
    assert "Origin" not in client.get("/v1/info").vary
    listed = serve(cors_origins=(ORIGIN,))
    for other in ("https://cms.example.evil.example", "http://cms.example", "null", "https://xcms.example"):
        response = listed.get("/v1/info", headers={"Origin": other})
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Origin" in response.vary
    assert "Access-Control-Allow-Origin" not in listed.get("/v1/info").headers


def test_a_listed_page_may_read_answers_and_problems_without_cookies(serve, store):
    store.create("a", ["score"])
    client = serve(cors_origins=(ORIGIN, "http://[::1]:3000"), keys=store.path, rate_limit="1/minute")
    for origin in (ORIGIN, "http://[::1]:3000"):
        response = client.post("/v1/score", json=DRAFT, headers={"Origin": origin})
        assert response.status_code in (401, 429)
        assert response.headers["Access-Control-Allow-Origin"] == origin
        exposed = response.headers["Access-Control-Expose-Headers"]
        assert all(name in exposed for name in ("Retry-After", "RateLimit-Remaining", "X-Request-ID"))
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_preflight_needs_no_key_and_costs_nothing(serve, store):
    key = store.create("a", ["score"])
    client = serve(cors_origins=(ORIGIN,), keys=store.path, rate_limit="1/minute")
    for path in ("/v1/score", "/v1/score/batch", "/v1/score"):
        response = client.options(path, headers={"Origin": ORIGIN, **PREFLIGHT})
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        allowed = response.headers["Access-Control-Allow-Headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "x-api-key"))
    other = client.options("/v1/score", headers={"Origin": "https://evil.example", **PREFLIGHT})
    assert not [name for name, _ in other.headers if name.startswith("Access-Control")]
    assert client.post("/v1/score", json=DRAFT, headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/docs/start.js", "/nope", "/openapi.json"])
def test_every_answer_is_hardened(client, path):
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


# --- nothing is written down -------------------------------------------------------------------

MARKER = "Xyzzymarker"


def marked(**changes):
    """A draft with the marker in every text that a caller may write."""
    context = {
        "in_reply_to": f"{MARKER} soup was cold.",
        "thread": [{"author": "customer", "text": f"{MARKER} again"}, {"author": "brand", "text": MARKER}],
        "recent_posts": [{"text": f"{MARKER} post"}],
        "channel": MARKER,
    }
    brand = {"name": MARKER, "about": MARKER, "topics": [MARKER], "audience": MARKER}
    return {"text": f"Sorry if you feel that way, {MARKER}.", "context": context, "brand": brand} | changes


# Each is a choice or a date, so that the marker makes it wrong; a fault must not repeat it.
WRONG = [
    *({name: MARKER} for name in ("kind", "format", "language", "offset_encoding", "hint_language", "policy")),
    *({name: MARKER} for name in ("gain", "deadline_ms", "context", "brand")),
    {"checks": [MARKER]},
    {"context": {"publish_at": MARKER}},
    {"context": {"thread": [{"author": MARKER, "text": MARKER}]}},
    {"context": {"recent_posts": [{"text": MARKER, "published_at": MARKER}]}},
    {"context": {"channel": MARKER * 10}},
    {"text": MARKER + "\0"},
    {"text": MARKER + "\ud800"},
    {"text": MARKER * 2_000},
]


def test_nothing_that_a_caller_wrote_is_written_down(serve, store, monkeypatch, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    store.create("operator", ["admin"])
    key, admin = store.create("cms", ["score"]), store.create("operator", ["admin"])
    client = serve(keys=store.path, rate_limit="40/minute", cors_origins=(ORIGIN,))
    bad_key = f"sa_000000000000_{MARKER}{'a' * 32}"
    told = []

    def ask(path, body, headers, status):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = client.post(path, data=data, content_type="application/json", headers=headers)
        assert response.status_code == status
        if status != 200:
            told.append(response.get_data(as_text=True) + str(response.headers))

    ask("/v1/score", marked(), bearer(key), 200)
    ask("/v1/rewrite", marked(), bearer(key), 200)
    ask("/v1/score/batch", {"drafts": [marked(), marked()]}, bearer(key), 200)
    for changes in WRONG:
        ask("/v1/score", marked(**changes), bearer(key), 422)
    ask("/v1/rewrite", marked(apply=[MARKER]), bearer(key), 422)
    ask("/v1/score", f'{{"text": "{MARKER}'.encode(), bearer(key), 400)
    ask("/v1/score", marked(), bearer(admin), 403)
    ask("/v1/score", marked(), bearer(bad_key), 401)
    ask("/v1/score", marked(), {"X-Api-Key": MARKER, "Origin": f"https://{MARKER}.example"}, 401)
    ask("/v1/score", marked(), {"Authorization": f"{MARKER} {MARKER}", "X-Request-ID": f"{MARKER}!"}, 401)
    with monkeypatch.context() as broken:
        broken.setattr("softanswer.api.score.render", lambda report, _: int(report.analysis.draft.text))
        ask("/v1/score", marked(), bearer(key), 500)
    ask("/v1/score/batch", {"drafts": [marked()] * 41}, bearer(key), 429)

    out, err = capfd.readouterr()
    metrics = client.get("/metrics", headers=bearer(admin)).get_data(as_text=True)
    written = {"logs": out + err + caplog.text, "metrics": metrics, "problems": "".join(told)}
    assert '"status": 429' in written["logs"]
    assert "softanswer_requests_total" in metrics
    for place, text in written.items():
        for secret in (MARKER, *(k.split("_", 2)[2] for k in (key, admin))):
            assert secret.lower() not in text.lower(), place
