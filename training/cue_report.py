"""Measure the cues of one score on the corpus: which hit where they should, which where they should not.

python -m training.cue_report LANGUAGE SCORE [--all]
"""

from __future__ import annotations

import collections
import sys

from softanswer.cues.files import load_languages
from softanswer.cues.matching import Matcher, all_foldings
from training.common import read_corpus

# Which tag of the rubric a category should go with.
TAG = {
    "deny": "deny", "blame_customer": "blame_customer", "scapegoat": "blame_other", "attack": "attack",
    "silence": "threat", "minimise": "minimise", "excuse": "excuse", "policy_shield": "policy",
    "non_apology": "conditional", "demand_proof": "proof", "rating_request": "rating", "acknowledge": "ack",
    "empathy": "ack", "own": "own", "apologise": "apology", "explain": "explain", "corrective": "remedy",
    "redress": "remedy", "timely": "remedy", "facilitate": "contact", "prevent": "remedy", "thank": "thank",
    "invite": "invite",
}  # fmt: skip
BAD = {"yes_but", "contempt", "stonewall", "bolster"}  # no tag of their own: def >= 1 will do


def right(row: dict, category: str) -> bool:
    tags = set(row["tags"].replace(" ", "").split(","))
    if category in BAD:
        return row["def"] >= 1
    if category in ("insult", "sarcasm", "curt"):
        return row["host"] >= 1
    if category in ("warm", "polite", "enthusiasm"):
        return row["warm"] >= 2
    if category == "formal":
        return row["formal"] >= 2
    if category == "informal":
        return row["formal"] <= 1
    if category == "template":
        return row["rel"] is not None and row["rel"] <= 1
    if category in TAG:
        return TAG[category] in tags
    return row["spam"] >= 1


def main() -> None:
    tag, score = sys.argv[1:3]
    languages = load_languages()
    matcher = Matcher(languages[tag], all_foldings(languages.values()))
    rows = [r for r in read_corpus() if r["lang"] == tag and r["kind"] != "comment"]
    hits: dict = collections.defaultdict(lambda: ([], []))
    covered: dict = collections.defaultdict(set)
    for n, row in enumerate(rows):
        text = (row["customer"] or "") if score == "complaint" else row["text"]
        for m in matcher.find(text, row["kind"]):
            if m.cue.score == score:
                good = right(row, m.cue.category.split(".")[1])
                at = slice(max(0, m.span.start - 40), m.span.end + 40)
                hits[m.cue.id][not good].append(f"{row['id']} [{row['tags']}; def {row['def']}] …{text[at]}…")
                covered[m.cue.category].add(n)
    for cue in languages[tag].cues:
        if cue.score == score:
            good, bad = hits[cue.id]
            print(f"{cue.id:48} fitting {len(good):4}  other {len(bad):4}")
            for line in bad if "--all" in sys.argv else bad[:6]:
                print("      ", line.replace("\n", " "))
    print()
    for category in sorted({c.category for c in languages[tag].cues if c.score == score}):
        labelled = {n for n, r in enumerate(rows) if right(r, category.split(".")[1])}
        found = covered[category]
        both = len(found & labelled)
        print(
            f"{category:32} precision {both / max(1, len(found)):.2f} ({len(found)} texts)  "
            f"recall {both / max(1, len(labelled)):.2f} ({len(labelled)} texts)"
        )


if __name__ == "__main__":
    main()
