"""What there is to learn from: labelled rows and pairs, from the corpus and from public sets.

Targets are probabilities 0..1, so that a label 0-3 becomes a third of itself; a row leaves the
heads alone that it has no label for.
"""

from __future__ import annotations

import collections
import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.common import read_corpus, read_jsonl, read_pairs

TAGS = [
    "deny",
    "blame_customer",
    "blame_other",
    "excuse",
    "minimise",
    "policy",
    "conditional",
    "attack",
    "threat",
    "proof",
    "rating",
    "ack",
    "apology",
    "own",
    "explain",
    "remedy",
    "contact",
    "thank",
    "invite",
]
HEADS = [
    "defensiveness",
    "warmth",
    "politeness",
    "formality",
    "hostility",
    "enthusiasm",
    "spam",
    "sentiment",
    "escalation",
    "complaint",
    "specificity",
] + [f"tag.{t}" for t in TAGS]
HELD_OUT = 0.12


@dataclass
class Row:
    """One text with what is known of it: head -> probability."""

    text: str
    targets: dict[str, float]
    group: str = ""
    language: str = "en"
    source: str = ""
    length: int = 0


@dataclass
class Pair:
    """A draft and what it is held against; `target` 0..1; `world`: the brand or industry that it is from.

    `own`: the draft was written to it.
    """

    draft: str
    other: str
    target: float
    relation: str
    language: str
    group: str
    world: str
    own: bool = True


def third(label: Any) -> float:
    return float(label) / 3.0


def corpus_rows() -> list[Row]:
    rows = []
    for r in read_corpus():
        if r["kind"] == "comment":
            rows.append(person_row(r))
            continue
        tags = set(r["tags"].replace(" ", "").split(","))
        targets = {
            "defensiveness": third(r["def"]), "warmth": third(r["warm"]), "formality": third(r["formal"]),
            "hostility": third(r["host"]), "spam": third(r["spam"]),
            # Sentiment of a brand's text is how it sounds: warm against hostile.
            "sentiment": min(max((r["warm"] - r["host"] + 1.5) / 4.5, 0.0), 1.0),
        }  # fmt: skip
        if "polite" in r:
            targets |= {"politeness": third(r["polite"]), "enthusiasm": third(r["enthus"])}
        else:
            rude = r["host"] + ("attack" in tags) + ("threat" in tags)
            targets["politeness"] = min(max((1.6 + 0.5 * r["warm"] + 0.2 * r["formal"] - 0.9 * rude) / 3.0, 0.0), 1.0)
        if "escalate" in r:
            targets["escalation"] = third(r["escalate"])
        if r["kind"] == "reply":
            targets |= {f"tag.{t}": float(t in tags) for t in TAGS}
            # How far a reply that is about its message speaks to it, or would fit any: what the reply alone can tell.
            if (r["rel"] or 0) >= 1:
                targets["specificity"] = (third(r["rel"]) - 1 / 3) * 1.5
        rows.append(Row(r["text"], targets, group(r), r["lang"], "corpus"))
    return rows


def person_row(r: dict[str, Any]) -> Row:
    """A text of people, not of a brand: how hostile, polite, formal and lively it is, and how it feels."""
    targets = {
        "hostility": third(r["host"]), "politeness": third(r["polite"]), "formality": third(r["formal"]),
        "enthusiasm": third(r["enthus"]), "sentiment": 0.5 + 0.45 * r["sentiment"],
    }  # fmt: skip
    return Row(r["text"], targets, group(r), r["lang"], "people")


def group(r: dict[str, Any]) -> str:
    """Items of one situation stay together: by the customer's message, else the pair."""
    return r["customer"] or min(r["id"], r.get("pair") or r["id"])


def world(r: dict[str, Any]) -> str:
    """Where an item's near misses come from: the same brand, else the same industry."""
    return f"{r['lang']} {r.get('brand') or r['industry']}"


def message_rows() -> list[Row]:
    """Customers' messages: complaint or not, told by how they were answered and by their words."""
    rows = {}
    for r in read_corpus():
        # A template, or an answer to something else, says nothing of the message.
        if not r["customer"] or r["rel"] <= 1:
            continue
        tags = set(r["tags"].replace(" ", "").split(","))
        if r["def"] >= 1 or tags & {"apology", "own", "deny", "blame_customer"}:
            rows[r["customer"]] = 0.95
        elif tags <= {"thank", "invite", "-", "explain", "contact"} and r["def"] == 0:
            rows.setdefault(r["customer"], 0.25)
        else:
            rows.setdefault(r["customer"], 0.7)
    language = {r["customer"]: r["lang"] for r in read_corpus()}
    return [Row(t, {"complaint": p}, t, language[t], "messages") for t, p in rows.items()]


ANGRY = {"anger", "annoyance", "disgust"}
WARM = {"gratitude", "caring", "admiration", "love", "remorse"}
LIVELY = {"excitement", "joy", "amusement"}
BAD = ANGRY | {"disappointment", "disapproval", "sadness", "grief", "fear", "embarrassment", "nervousness"}
GOOD = WARM | LIVELY | {"approval", "optimism", "pride", "relief"}


def public_rows(data: Path) -> dict[str, list[Row]]:
    """The public sets, each with the heads that it can teach."""
    out: dict[str, list[Row]] = collections.defaultdict(list)

    def add(name: str, row: dict[str, Any], **targets: float) -> None:
        out[name].append(Row(row["text"], targets, row["id"], row["language"], name))

    read = lambda name: read_jsonl(data / "train" / f"{name}.jsonl")
    for r in read("politeness_en"):
        add("politeness_en", r, politeness=float(1 / (1 + np.exp(-1.6 * r["gold"]["polite"]))))
    for r in read("hostility_ar"):
        hostile = r["gold"]["hostile"]
        add(
            "hostility_ar",
            r,
            hostility=0.9 * hostile + 0.03,
            politeness=0.55 - 0.5 * hostile,
            sentiment=0.5 - 0.4 * hostile,
        )
    for r in read("emotions_en"):
        e = set(r["gold"]["emotions"])
        good, bad = bool(e & GOOD), bool(e & BAD)
        targets = {"hostility": 0.85 if e & ANGRY else 0.03, "warmth": 0.85 if e & WARM else 0.15,
                   "enthusiasm": 0.8 if e & LIVELY else 0.15}  # fmt: skip
        if good != bad:
            targets |= {"sentiment": 0.95 if good else 0.05, "complaint": 0.75 if bad else 0.1}
        add("emotions_en", r, **targets)
    for r in read("emotions_he"):
        s = r["gold"]["emotion_shares"]
        angry = max(s.get("anger", 0.0), s.get("disgust", 0.0))
        joy, trust, sad = s.get("joy", 0.0), s.get("trust", 0.0), s.get("sadness", 0.0)
        add("emotions_he", r, hostility=0.02 + 0.93 * float(angry), warmth=0.1 + 0.6 * float(max(joy, trust)),
            sentiment=min(max(0.5 + 0.5 * float(max(joy, trust) - max(angry, sad)), 0.02), 0.98),
            enthusiasm=0.1 + 0.7 * float(joy))  # fmt: skip
    for r in read("sarcasm_ar"):
        s = r["gold"]["sentiment"]
        add(
            "sarcasm_ar",
            r,
            sentiment=0.5 + 0.45 * s,
            hostility=0.35 if r["gold"]["sarcastic"] else 0.08 + 0.12 * (s < 0),
        )
    for r in read("sentiment_ar"):
        s = r["gold"]["sentiment"]
        add("sentiment_ar", r, sentiment=0.5 + 0.47 * s, complaint=0.15 + 0.5 * (s < 0), warmth=0.3 + 0.25 * s)
    for name in ("sms_en", "mail_spam_en", "comments_en"):
        for r in read(name):
            add(name, r, spam=0.02 + 0.96 * r["gold"]["spam"])
    # mozilla_www stays out: the dev sets of honest copy come from that house.
    rng = random.Random(11)
    commercial = {"wordpress", "bagisto", "chatwoot", "tatoeba_manythings"}
    for tag in ("ar", "he"):
        pairs = [p for p in read_pairs(data, tag, random.Random(1)) if p[2] in commercial and len(p[0].split()) >= 6]
        for english, translation, _ in rng.sample(pairs, 3000):
            out["honest"].append(Row(translation, {"spam": 0.02, "hostility": 0.02}, translation, tag, "honest"))
            if rng.random() < 0.5:
                out["honest"].append(Row(english, {"spam": 0.02, "hostility": 0.02}, english, "en", "honest"))
    return out


def relevance_pairs(data: Path | None) -> list[Pair]:
    """Replies with their message, and with messages of another situation: of the same brand or industry, of any."""
    rng = random.Random(5)
    corpus = [r for r in read_corpus() if r["customer"]]
    # What is held out meets nothing that is not: a message would be known by its wrong answers.
    pools: dict[tuple[str, bool], list[dict[str, Any]]] = collections.defaultdict(list)
    for r in corpus:
        kept = held_out(group(r))
        pools[world(r), kept].append(r)
        pools[r["lang"], kept].append(r)
    pairs = []
    for r in corpus:
        pairs.append(
            Pair(
                r["text"],
                r["customer"],
                (0.05, 0.3, 0.75, 0.97)[round(r["rel"])],
                "reply",
                r["lang"],
                group(r),
                world(r),
            )
        )
        kept = held_out(group(r))
        near, anything = pools[world(r), kept], pools[r["lang"], kept]
        for pool in [near] * (3 if "brand" in r else 1) + [anything]:
            others = [o for o in rng.sample(pool, min(len(pool), 8)) if o["customer"] != r["customer"]]
            if others:
                wrong = 0.03 if r["rel"] > 1 else 0.1
                pairs.append(
                    Pair(r["text"], others[0]["customer"], wrong, "reply", r["lang"], group(r), world(r), False)
                )
    for tag in ("en", "ar", "he") if data else ():
        for r in read_jsonl(data / "train" / f"topics_{tag}.jsonl"):
            pairs.append(
                Pair(
                    r["text"],
                    r["brand"]["topics"][0],
                    0.02 + 0.95 * r["gold"]["relevant"],
                    "topic",
                    tag,
                    r["text"],
                    tag,
                )
            )
    return pairs


def held_out(group_name: str) -> bool:
    """Whether a situation is kept for calibration and reporting."""
    return zlib.crc32(group_name.encode()) % 1000 < 1000 * HELD_OUT


def mixed(pairs: list[Pair], stray: int, seed: int) -> list[Pair]:
    """All replies with their own message, and for each `stray` of them one with another."""
    own = [p for p in pairs if p.own]
    return own + random.Random(seed).sample([p for p in pairs if not p.own], len(own) // stray)
