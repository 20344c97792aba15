"""Receipts: what they vouch for, what fails, how keys rotate, and that the hooks of openapi/receipts.md hold."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
import regex
import structlog
from click.testing import CliRunner

from softanswer import receipts
from softanswer.api.render import render
from softanswer.app import create_app
from softanswer.cli import main
from softanswer.domain import KeysFault
from softanswer.receipts import VALID_S, SigningKeys
from softanswer.settings import InvalidSettings, Settings

PAGE = Path(__file__).parent.parent / "openapi" / "receipts.md"
DRAFT = {"text": "Thank you, Dana. שלום, شكرا 🙏 — we are sorry.", "gain": False}
BLAME = {"text": "You should have read the terms.", "context": {"in_reply_to": "It broke!"}, "gain": False}
LAX = {"hold": [], "revise": []}


@pytest.fixture
def signing(tmp_path):
    keys = SigningKeys(tmp_path / "signing.json")
    keys.create()
    return keys


@pytest.fixture
def signed(pipeline, signing):
    """The application with a signing key."""
    before = structlog.get_config()
    yield create_app(replace(Settings(log_level="warning"), signing_keys=signing.path), pipeline)
    structlog.configure(**before)


@pytest.fixture
def client(signed):
    return signed.test_client()


@pytest.fixture
def send(client):
    def send(path, body):
        return client.post(path, data=json.dumps(body), content_type="application/json").get_json()

    return send


@pytest.fixture
def clock(monkeypatch):
    """Move the clock that keys and receipts are made by: clock(-60) makes them a minute old."""
    now = receipts.time.time

    class Moved:
        seconds = 0

        def time(self):
            return now() + self.seconds

        def __call__(self, seconds):
            self.seconds = seconds

    moved = Moved()
    monkeypatch.setattr(receipts, "time", moved)
    return moved


def parts(receipt):
    """The header and the claims of a JWT, unchecked."""
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in receipt.split(".")[:2]]


def encoded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


# --- what a receipt says -----------------------------------------------------------------------


def test_a_receipt_says_what_the_report_says(send, client):
    report = send("/v1/score", DRAFT)
    (key,) = client.get("/.well-known/jwks.json").get_json()["keys"]
    claims = jwt.decode(report["receipt"], jwt.PyJWK.from_dict(key), ["EdDSA"])
    assert claims.pop("exp") - claims.pop("iat") == VALID_S
    assert claims == {
        "content_hash": report["content_hash"],
        "verdict": report["verdict"]["action"],
        "policy": report["verdict"]["policy"],
        "read_as": {"kind": "post", "format": "plain", "language": report["language"]["tag"]},
        "versions": report["versions"],
    }


def test_every_report_of_a_batch_and_of_a_rewriting_is_signed(send):
    for result in send("/v1/score/batch", {"drafts": [DRAFT, BLAME]})["results"]:
        assert parts(result["report"]["receipt"])[1]["content_hash"] == result["report"]["content_hash"]
    rewriting = send("/v1/rewrite", BLAME)
    for name in ("before", "report"):
        assert parts(rewriting[name]["receipt"])[1]["content_hash"] == rewriting[name]["content_hash"]


def test_asking_in_shadow_mode_does_not_get_a_receipt_that_says_publish(send):
    report = send("/v1/score", BLAME | {"mode": "shadow"})
    assert report["verdict"]["action"] == "publish"
    assert parts(report["receipt"])[1]["verdict"] == "revise"


@pytest.mark.parametrize(
    "unjudged",
    [
        pytest.param({"text": "You are a liar.", "checks": ["relevance", "spam"]}, id="some checks"),
        pytest.param({"text": "Vous êtes un menteur et un imbécile, monsieur."}, id="a language that is not read"),
        pytest.param({"text": "<head>You are a liar.", "format": "html"}, id="what no reader sees"),
    ],
)
def test_what_was_not_judged_gets_no_receipt(send, unjudged):
    assert send("/v1/score", unjudged)["receipt"] is None


def test_without_a_signing_key_there_is_no_receipt_and_none_is_valid(run, pipeline):
    assert render(run("Hello."), pipeline.versions)["receipt"] is None
    plain = create_app(Settings(log_level="warning"), pipeline).test_client()
    assert plain.get("/.well-known/jwks.json").get_json() == {"keys": []}
    checked = plain.post("/v1/receipts/verify", json={"receipt": "a.b.c", "text": "Hello."}).get_json()
    assert checked == {"valid": False, "fault": "not_ours", "claims": None}


# --- what fails --------------------------------------------------------------------------------


def test_a_receipt_is_valid_for_its_draft_and_policy(send):
    receipt = send("/v1/score", BLAME)["receipt"]
    checked = send("/v1/receipts/verify", {"receipt": receipt, "text": BLAME["text"]})
    assert checked == {"valid": True, "fault": None, "claims": parts(receipt)[1]}
    assert checked["claims"]["verdict"] == "revise"


@pytest.mark.parametrize(
    "scored, asked, fault",
    [
        pytest.param({}, {"text": DRAFT["text"] + " "}, "other_draft", id="a changed draft"),
        pytest.param({}, {"policy": LAX}, "other_policy", id="asked about another policy"),
        pytest.param({"policy": LAX}, {}, "other_policy", id="made under rules of the caller's own"),
        pytest.param({"policy": LAX}, {"policy": LAX}, None, id="the same rules"),
    ],
)
def test_a_receipt_is_for_nothing_else(send, scored, asked, fault):
    receipt = send("/v1/score", DRAFT | scored)["receipt"]
    checked = send("/v1/receipts/verify", {"receipt": receipt, "text": DRAFT["text"]} | asked)
    assert (checked["valid"], checked["fault"]) == (fault is None, fault)


def test_an_expired_receipt_fails(send, clock):
    clock(-VALID_S - 1)
    receipt = send("/v1/score", DRAFT)["receipt"]
    checked = send("/v1/receipts/verify", {"receipt": receipt, "text": DRAFT["text"]})
    assert checked == {"valid": False, "fault": "expired", "claims": None}


def forged(receipt, tmp_path):
    """Receipts that were not signed here, by what is wrong with them."""
    header, claims = parts(receipt)
    head, body, signature = receipt.split(".")
    better = encoded(claims | {"exp": claims["exp"] + 1})
    stranger = SigningKeys(tmp_path / "stranger.json")
    stranger.create()
    other = stranger._loaded(stranger._read()[0])
    public = base64.urlsafe_b64decode(SigningKeys(tmp_path / "signing.json").published()[0]["x"] + "==")
    return {
        "claims changed": f"{head}.{better}.{signature}",
        "no signature": f"{head}.{body}.",
        "alg none": f"{encoded(header | {'alg': 'none'})}.{body}.",
        "HMAC with the public key": jwt.encode(claims, public, "HS256", headers={"kid": header["kid"]}),
        "another's key under our id": jwt.encode(claims, other, "EdDSA", headers={"kid": header["kid"]}),
        "another's key": jwt.encode(claims, other, "EdDSA", headers={"kid": "stranger"}),
        "no key named": jwt.encode(claims, other, "EdDSA"),
        "not a JWT": "publish",
        "empty": "",
        "a header nested too deep": base64.urlsafe_b64encode(b"[" * 9000).decode() + ".e30.AA",
        "a header that is a list": "W10.e30.AA",
        "letters of another script": "קבלה.קבלה.קבלה",
    }


def test_forged_receipts_fail(send, tmp_path):
    receipt = send("/v1/score", DRAFT)["receipt"]
    for wrong, made in forged(receipt, tmp_path).items():
        checked = send("/v1/receipts/verify", {"receipt": made, "text": DRAFT["text"]})
        assert checked == {"valid": False, "fault": "not_ours", "claims": None}, wrong


# --- keys --------------------------------------------------------------------------------------


def test_a_new_key_signs_at_once_and_the_old_one_stays_for_a_time(send, client, signing, clock):
    def published():
        return [key["kid"] for key in client.get("/.well-known/jwks.json").get_json()["keys"]]

    (first,) = published()
    old = send("/v1/score", DRAFT)["receipt"]
    second = signing.create()
    assert published() == [second, first]
    assert parts(send("/v1/score", DRAFT)["receipt"])[0]["kid"] == second
    assert send("/v1/receipts/verify", {"receipt": old, "text": DRAFT["text"]})["valid"]
    clock(VALID_S + 1)
    assert published() == [second]
    third = signing.create()
    assert published() == [third, second]
    assert first not in signing.path.read_text()


def test_the_private_key_stays_in_the_file_which_its_owner_alone_can_read(client, signing):
    assert signing.path.stat().st_mode & 0o777 == 0o600
    (private,) = json.loads(signing.path.read_text())["keys"]
    answer = client.get("/.well-known/jwks.json")
    assert private["d"] not in answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_the_command_makes_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("SOFTANSWER_SIGNING_KEYS", str(tmp_path / "new.json"))
    made = [CliRunner().invoke(main, ["keys", "signing"]).output.strip() for _ in range(2)]
    assert [key["kid"] for key in SigningKeys(tmp_path / "new.json").published()] == made[::-1]


def test_the_command_needs_to_know_the_file(monkeypatch):
    monkeypatch.delenv("SOFTANSWER_SIGNING_KEYS", raising=False)
    result = CliRunner().invoke(main, ["keys", "signing"])
    assert (result.exit_code, "names no file" in result.output) == (1, True)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": []}', '{"keys": [3]}', '{"keys": [{"kid": "a"}]}', None],
)
def test_a_file_that_is_none_of_ours_is_told_without_a_word_of_it(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeysFault, match=r"keys\.json cannot be used as a file of signing keys: [A-Za-z]+$"):
        SigningKeys(path).published()


def test_a_key_that_is_broken_is_a_fault_of_the_file(signing):
    written = json.loads(signing.path.read_text())
    written["keys"][0]["d"] = "AA"
    signing.path.write_text(json.dumps(written))
    with pytest.raises(KeysFault):
        signing.sign("sha256:", "publish", "default@1", {}, {})


def test_a_key_in_a_folder_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(KeysFault):
        SigningKeys(tmp_path / "none" / "keys.json").create()


def test_the_start_fails_where_the_file_is_not_there(tmp_path):
    with pytest.raises(InvalidSettings, match="SOFTANSWER_SIGNING_KEYS"):
        Settings(signing_keys=tmp_path / "none.json").check_access()


def test_what_the_model_reads_in_part_gets_no_receipt(send):
    report = send("/v1/score", {"text": "Thank you for your kind words, see you soon. " * 300})
    assert (report["degraded"], report["receipt"]) == (["length"], None)


# --- the hooks of openapi/receipts.md ------------------------------------------------------------

_RUN = {
    "node": """
const { requirePublish } = require("./hook.js");
const cases = JSON.parse(require("node:fs").readFileSync("cases.json"));
(async () => {
  const told = [];
  for (const [receipt, text, policy, format] of cases.tries) {
    await requirePublish(cases.service, receipt, text, policy, format ?? "plain").then(() => told.push("ok"), (e) => told.push(e.message));
  }
  console.log(JSON.stringify(told));
})();
""",
    "php": """<?php
require 'hook.php';
$cases = json_decode(file_get_contents('cases.json'), true);
$told = [];
foreach ($cases['tries'] as $case) {
    [$receipt, $text, $policy] = $case;
    try {
        softanswer_require_publish($cases['service'], $receipt, $text, $policy, $case[3] ?? 'plain');
        $told[] = 'ok';
    } catch (Exception $error) {
        $told[] = $error->getMessage();
    }
}
echo json_encode($told);
""",
}


@pytest.fixture
def service(signed, listening):
    """The address of the application with a signing key, on a socket."""
    with listening(signed) as url:
        yield url


@pytest.mark.parametrize("program, suffix", [("node", "js"), ("php", "php")])
def test_the_hooks_let_through_what_may_be_published_and_nothing_else(
    program, suffix, service, send, pipeline, clock, tmp_path
):
    if shutil.which(program) is None:
        pytest.skip(f"NOT TESTED: {program} is not installed")
    policy = pipeline.policies["default"].id
    good, bad = send("/v1/score", DRAFT)["receipt"], send("/v1/score", BLAME)["receipt"]
    inline = send("/v1/score", BLAME | {"policy": LAX})["receipt"]
    clock(-VALID_S - 1)
    old = send("/v1/score", DRAFT)["receipt"]
    clock(0)
    text = DRAFT["text"]
    tries = {
        "good": ([good, text, policy], "ok"),
        "a changed draft": ([good, text + " ", policy], "Of another text"),
        "another version of the policy": ([good, text, "default@0"], "Of another policy"),
        "rules of the caller's own": ([inline, BLAME["text"], policy], "Of another policy"),
        "expired": ([old, text, policy], "Expired"),
        "published as what it was not read as": ([good, text, policy, "html"], "It was read as plain"),
        "not to be published": ([bad, BLAME["text"], policy], "The verdict is revise"),
    }
    wrong = forged(good, tmp_path)
    (tmp_path / f"hook.{suffix}").write_text(regex.search(rf"```{suffix}\n(.*?)```", PAGE.read_text(), regex.S)[1])
    (tmp_path / f"run.{suffix}").write_text(_RUN[program])
    every = [tried for tried, _ in tries.values()] + [[made, text, policy] for made in wrong.values()]
    (tmp_path / "cases.json").write_text(json.dumps({"service": service, "tries": every}))
    ran = subprocess.run(
        [program, f"run.{suffix}"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(ran.stdout)
    assert told[: len(tries)] == [expected for _, expected in tries.values()]
    assert {name: said for name, said in zip(wrong, told[len(tries) :], strict=True) if said == "ok"} == {}
    assert told[len(tries)] == "Forged"
