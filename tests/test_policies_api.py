"""Policies over HTTP: inline rules, shadow mode, what another policy would change."""

import json

import pytest
import yaml

from softanswer.policy import ROOT

BLAME = {"text": "You should have read the terms.", "context": {"in_reply_to": "It broke!"}, "gain": False}
KIND = {"text": "Thank you, Dana. We are sorry it came late.", "context": {"in_reply_to": "Late!"}, "gain": False}
LAX = {"hold": [], "revise": []}
STRICT = {"hold": [{"score": "tone", "at_least": 0}], "revise": []}


@pytest.fixture
def simulate(client):
    """POST /v1/policies/simulate and return (status, body)."""

    def send(body):
        response = client.post("/v1/policies/simulate", data=json.dumps(body), content_type="application/json")
        return response.status_code, response.get_json()

    return send


# --- inline policies ---------------------------------------------------------------------------


def test_rules_in_the_request_decide(post):
    assert post(BLAME)[1]["verdict"]["action"] == "revise"
    verdict = post(BLAME | {"policy": LAX})[1]["verdict"]
    assert (verdict["action"], verdict["reasons"]) == ("publish", [])
    assert verdict["policy"].startswith("inline@")
    assert post(KIND | {"policy": STRICT})[1]["verdict"]["action"] == "hold"


def test_the_default_policy_sent_inline_decides_as_it_does_by_name(post):
    rules = yaml.safe_load((ROOT / "default.yaml").read_text())
    by_name, inline = post(BLAME)[1]["verdict"], post(BLAME | {"policy": rules})[1]["verdict"]
    assert (inline["action"], inline["reasons"]) == (by_name["action"], by_name["reasons"])


def test_equal_rules_have_equal_versions_however_they_are_written(post):
    def version(*rules):
        return post(KIND | {"policy": {"revise": [], "hold": list(rules)}})[1]["verdict"]["policy"]

    assert version({"score": "spam", "at_least": 1}) == version({"at_least": 1.0, "score": "spam"})
    assert version({"score": "spam", "at_least": 1}) != version({"score": "spam", "at_most": 1})


def test_the_order_of_weights_does_not_make_another_policy(post):
    def asked(weights):
        return post({"text": "Hello.", "policy": LAX | {"hold": [{"weights": weights, "at_least": 1}]}})[1]["verdict"][
            "policy"
        ]

    assert asked({"spam": 1, "tone": 2}) == asked({"tone": 2, "spam": 1}) != asked({"tone": 1, "spam": 2})


@pytest.mark.parametrize(
    "path, body, pointer",
    [
        ("/v1/score", {"text": "Hello.", "policy": {"hold": [{}] * 20_000, "revise": []}}, "/policy/hold"),
        ("/v1/score/batch", {"drafts": [{}] * 20_000}, "/drafts"),
    ],
)
def test_a_list_that_is_too_long_is_one_fault(client, path, body, pointer):
    problem = client.post(path, json=body).get_json()
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]


def test_weights_make_a_limit_on_a_mean_of_scores(post):
    _, report = post(BLAME | {"policy": LAX | {"revise": [
        {"weights": {"defensiveness": 3, "tone.hostility": 1}, "at_least": 0.1}
    ]}})  # fmt: skip
    scores = report["scores"]
    mean = (3 * scores["defensiveness"]["value"] + scores["tone"]["dimensions"]["hostility"]) / 4
    (reason,) = report["verdict"]["reasons"]
    assert reason == {"score": "defensiveness+tone.hostility", "limit": 0.1, "value": pytest.approx(mean, abs=2e-4)}


def test_a_weighted_rule_does_not_apply_where_a_score_is_missing(post):
    rule = {"weights": {"relevance": 1, "tone": 1}, "at_most": 1}
    assert post({"text": "Fresh bread.", "policy": {"hold": [rule], "revise": []}})[1]["verdict"]["action"] == "publish"


@pytest.mark.parametrize(
    "policy, pointer, detail",
    [
        pytest.param("none", "", "Must be rules, or one of: default.", id="an unknown name"),
        pytest.param(3, "", "Must be rules, or one of: default.", id="a number"),
        pytest.param({"hold": []}, "/revise", "Missing data for required field.", id="half a policy"),
        pytest.param(LAX | {"publish": []}, "/publish", "Unknown field.", id="an action that is none"),
        pytest.param(LAX | {"hold": [{}]}, "/hold/0", "A rule needs a cue or a score.", id="an empty rule"),
        pytest.param(LAX | {"hold": [{"score": "spam"}]}, "/hold/0",
                     "A score and a limit (at_least or at_most) go together.", id="a score without a limit"),
        pytest.param(LAX | {"hold": [{"score": "spam", "weights": {"spam": 1}, "at_least": 0}]}, "/hold/0",
                     "A score or weights, not both.", id="a score and weights"),
        pytest.param(LAX | {"revise": [{"cue": "spam.scam"}, {"cue": "spam.scamm"}]}, "/revise/1/cue",
                     "No such cue.", id="a cue that is none"),
        pytest.param(LAX | {"revise": [{"score": "spam", "at_least": "0.5"}]}, "/revise/0/at_least",
                     "Not a valid number.", id="a number in quotes"),
        pytest.param(LAX | {"revise": [{"score": "spam", "at_least": 2}]}, "/revise/0/at_least",
                     "Must be greater than or equal to 0 and less than or equal to 1.", id="past 1"),
        pytest.param(LAX | {"revise": [{"weights": {"love": 1}, "at_least": 0}]}, "/revise/0/weights/love",
                     "No such score.", id="a weight of nothing"),
        pytest.param(LAX | {"revise": [{"weights": {"spam": 0}, "at_least": 0}]}, "/revise/0/weights/spam",
                     "Must be greater than 0 and less than or equal to 100.", id="no weight"),
        pytest.param(LAX | {"revise": [{"weights": {}, "at_least": 0}]}, "/revise/0/weights",
                     "Must name a score.", id="no weights"),
        pytest.param(LAX | {"hold": [{"cue": "spam.scam"}] * 101}, "/hold",
                     "Must hold 0 to 100.", id="too many rules"),
    ],
)  # fmt: skip
def test_rules_are_checked_and_the_fault_is_pointed_at(post, policy, pointer, detail):
    status, problem = post(BLAME | {"policy": policy})
    assert status == 422
    assert problem["errors"] == [{"pointer": f"/policy{pointer}", "detail": detail}]


# --- shadow mode -------------------------------------------------------------------------------


def test_shadow_mode_publishes_and_says_what_it_would_have_said(post):
    enforced, shadowed = post(BLAME)[1]["verdict"], post(BLAME | {"mode": "shadow"})[1]["verdict"]
    assert enforced["would_be"] is None
    assert shadowed == enforced | {"action": "publish", "would_be": "revise"}


def test_there_is_no_other_mode(post):
    status, problem = post(BLAME | {"mode": "off"})
    assert (status, problem["errors"][0]["pointer"]) == (422, "/mode")


# --- GET /v1/policies and simulate ---------------------------------------------------------------


def test_policies_are_listed_as_their_files_have_them(client, pipeline):
    (listed,) = client.get("/v1/policies").get_json()["policies"]
    assert listed["rules"] == yaml.safe_load((ROOT / "default.yaml").read_text())
    assert f"{listed['name']}@{listed['version']}" == pipeline.policies["default"].id


def test_a_simulation_tells_which_verdicts_change(simulate):
    status, body = simulate({"drafts": [BLAME, KIND, {"text": ""}], "after": LAX})
    blamed, kind, bad = body["results"]
    assert (status, body["changed"]) == (200, 1)
    assert (blamed["changed"], blamed["before"]["action"], blamed["after"]["action"]) == (True, "revise", "publish")
    assert blamed["before"]["policy"].startswith("default@")
    assert (kind["changed"], kind["before"]["action"]) == (False, "publish")
    assert bad["problem"]["errors"][0]["pointer"] == "/drafts/2/text"


def test_a_simulation_says_what_score_says(simulate, post):
    _, body = simulate({"drafts": [BLAME | {"mode": "shadow", "policy": STRICT}], "before": "default", "after": STRICT})
    (outcome,) = body["results"]
    assert outcome["before"] == post(BLAME)[1]["verdict"]
    assert outcome["after"] == post(BLAME | {"policy": STRICT})[1]["verdict"]


@pytest.mark.parametrize("drafts", [0, 129])
def test_a_simulation_takes_1_to_128_drafts(simulate, drafts):
    status, problem = simulate({"drafts": [KIND] * drafts, "after": LAX})
    assert (status, problem["errors"]) == (422, [{"pointer": "/drafts", "detail": "Must hold 1 to 128."}])


def test_the_policies_of_a_simulation_are_checked(simulate):
    _, problem = simulate({"drafts": [KIND], "before": "none", "after": {"hold": [{}], "revise": []}})
    assert [error["pointer"] for error in problem["errors"]] == ["/before", "/after/hold/0"]
