"""What services say of labelled texts, held against the labels. Sets are JSONL: `text`, `kind`, `gold`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from bench.common import Row, ask, table
from training.common import read_jsonl

SPAM_SETS = ("sms_en", "mail_spam_en", "comments_en", "newsletters_hard_en", "honest_ads_en")
TONE_SETS = ("emotions_en", "replies_real_en")
HONEST = ("newsletters_hard_en", "honest_ads_en")  # no spam in them

# GoEmotions' own grouping (Demszky et al. 2020); 'neutral' and the ambiguous ones are left out.
PLEASANT = frozenset(
    "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief".split()
)
UNPLEASANT = frozenset(
    "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split()
)

Sets = Mapping[str, Sequence[Row]]
Values = dict[str, list[float]]  # by set, in the order of its rows

_BATCH = 32
_SEED = 7


def read_sets(folder: Path, most: int | None) -> dict[str, list[Row]]:
    """Read the sets that a folder has, at most so many rows of each, taken at random."""
    paths = {name: folder / f"{name}.jsonl" for name in (*SPAM_SETS, *TONE_SETS)}
    sets = {name: read_jsonl(path) for name, path in paths.items() if path.exists()}
    for rows in sets.values():
        random.Random(_SEED).shuffle(rows)
    return {name: rows[:most] for name, rows in sets.items()}


def ours(url: str, sets: Sets) -> Values:
    """Ask the service: spam, or tone's value, or its warmth where the labels are of warmth."""
    return {name: [_value(report, name) for report in _reports(url, rows)] for name, rows in sets.items()}


def _reports(url: str, rows: Sequence[Row]) -> list[Row]:
    drafts = [
        {"text": row["text"], "kind": row["kind"], "context": {"in_reply_to": row.get("in_reply_to", "")}}
        for row in rows
    ]
    pieces = [drafts[start : start + _BATCH] for start in range(0, len(drafts), _BATCH)]
    return [result["report"] for some in pieces for result in ask(f"{url}/batch", {"drafts": some})["results"]]


def _value(report: Row, name: str) -> float:
    """NaN where the service does not judge: a text in another language."""
    score = report["scores"].get("spam" if name in SPAM_SETS else "tone")
    if score is None:
        return float("nan")
    return float(score["dimensions"]["warmth"] if name == "replies_real_en" else score["value"])


def compare(sets: Sets, judged: Mapping[str, Values], limits: Mapping[str, float]) -> dict[str, str]:
    """Tables of quality, a column a service; over the texts that all of them judge."""
    spam = [line for name in SPAM_SETS if name in sets for line in _spam_lines(name, sets[name], judged, limits)]
    tone = [_tone_line(name, sets[name], judged) for name in TONE_SETS if name in sets]
    out = {}
    for title, lines, some in (("Spam", spam, SPAM_SETS), ("Tone", tone, TONE_SETS)):
        if lines:
            out[title] = table(["set", "texts", "measure", *_services(judged, some)], lines)
    return out


def _services(judged: Mapping[str, Values], some: Sequence[str]) -> list[str]:
    return [service for service, values in judged.items() if any(name in values for name in some)]


def _spam_lines(
    name: str, rows: Sequence[Row], judged: Mapping[str, Values], limits: Mapping[str, float]
) -> list[list[object]]:
    services = _services(judged, SPAM_SETS)
    values = np.array([judged[service][name] for service in services])
    known = ~np.isnan(values).any(axis=0)
    values, spam = values[:, known], np.array([bool(row["gold"].get("spam")) for row in rows])[known]
    called = values >= np.array([[limits[service]] for service in services])
    lines: list[list[object]] = [[name, int((~spam).sum()), "false alarms", *map(float, called[:, ~spam].mean(axis=1))]]
    if name not in HONEST:
        lines.append([name, int(spam.sum()), "recall", *map(float, called[:, spam].mean(axis=1))])
        lines.append([name, len(spam), "AUC", *(float(roc_auc_score(spam, some)) for some in values)])
    return lines


def _tone_line(name: str, rows: Sequence[Row], judged: Mapping[str, Values]) -> list[object]:
    gold = np.array([_warmth(row) if name == "replies_real_en" else _pleasant(row) for row in rows])
    values = np.array([judged[service][name] for service in _services(judged, TONE_SETS)])
    known = ~np.isnan(gold) & ~np.isnan(values).any(axis=0)
    gold, values = gold[known], values[:, known]
    if name == "replies_real_en":
        return [name, len(gold), "warmth, Spearman", *(float(spearmanr(gold, some).statistic) for some in values)]
    return [name, len(gold), "pleasant, AUC", *(float(roc_auc_score(gold, some)) for some in values)]


def _warmth(row: Row) -> float:
    return float(row["gold"].get("warm", "nan"))


def _pleasant(row: Row) -> float:
    """1 or 0; NaN where a text has emotions of both groups or of neither."""
    emotions = set(row["gold"]["emotions"])
    pleasant, unpleasant = bool(emotions & PLEASANT), bool(emotions & UNPLEASANT)
    return float("nan") if pleasant == unpleasant else float(pleasant)
