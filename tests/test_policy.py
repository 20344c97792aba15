import pytest

from softanswer.domain import DataFault, Reason, Score
from softanswer.policy import Policy, Rule, check_cue_names, decide, load_policies


def scores(**values):
    return [Score(name, value, 1.0, "") for name, value in values.items() if "_" not in name]


class Analysed:
    """Stands for an analysis with these cues."""

    def __init__(self, *cues):
        self.cues = cues

    def found(self, prefix):
        return tuple(c for c in self.cues if f"{c}.".startswith(f"{prefix}."))


POLICY = Policy(
    "p", "1",
    hold=(Rule(cue="spam.scam", score="spam", at_least=0.3), Rule(cue="tone.insult")),
    revise=(Rule(score="defensiveness", at_least=0.5), Rule(score="relevance", at_most=0.2)),
)  # fmt: skip


@pytest.mark.parametrize(
    "cues, values, action, reasons",
    [
        pytest.param((), {"defensiveness": 0.49}, "publish", (), id="below every limit"),
        pytest.param((), {"defensiveness": 0.5}, "revise", (Reason("defensiveness", 0.5, 0.5),), id="at a limit"),
        pytest.param((), {"relevance": 0.2}, "revise", (Reason("relevance", 0.2, 0.2),), id="at a lower limit"),
        pytest.param(("spam.scam.ask",), {"spam": 0.2}, "publish", (), id="a cue without its score"),
        pytest.param(("spam.scam.ask",), {"spam": 0.3, "defensiveness": 0.9}, "hold",
                     (Reason("spam", 0.3, 0.3, "spam.scam"),), id="hold comes first"),
        pytest.param(("tone.insult.name",), {}, "hold", (Reason(cue="tone.insult"),), id="a cue alone, nothing evaluated"),
        pytest.param(("tone.insulting",), {}, "publish", (), id="a cue of another name"),
    ],
)  # fmt: skip
def test_decide(cues, values, action, reasons):
    verdict = decide(Analysed(*cues), scores(**values), POLICY)
    assert (verdict.action, verdict.reasons, verdict.policy) == (action, reasons, "p@1")


@pytest.mark.parametrize(
    "rules, message",
    [
        ("hold: []\nrevise:\n  - {score: spam}", "A score and a limit"),
        ("hold: []\nrevise:\n  - {score: love, at_least: 1}", "Must be one of"),
        ("hold: []\nrevise:\n  - {}", "A rule needs a cue or a score"),
        ("hold: []", "Missing data"),
    ],
)
def test_policy_files_are_checked(tmp_path, rules, message):
    (tmp_path / "p.yaml").write_text(rules)
    with pytest.raises(DataFault, match=message):
        load_policies(tmp_path)


def test_a_rule_about_a_cue_that_does_not_exist_is_a_fault(pipeline):
    known = tuple(cue.id for _, cue in pipeline.cues())
    check_cue_names(pipeline.policies.values(), known)
    wrong = Policy("mine", "1", (Rule(cue="defensivness.silence"),), ())
    with pytest.raises(DataFault, match=r"mine\.yaml: unknown cue 'defensivness.silence'"):
        check_cue_names([wrong], known)
