"""Step 4: the encoder and all heads are trained together, with distillation kept in the mix.

Every head is a linear reading of [meaning | manner]; targets are probabilities 0..1, so that a
label 0-3 becomes a third of itself. Rows without a label leave a head alone. Relevance is a
cosine plus a learned bilinear form, trained on the corpus's labels and in-batch contrast.
"""

from __future__ import annotations

import collections
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, softplus

from softanswer.encoder.inputs import prepare
from softanswer.encoder.model import overlap
from training.common import (
    MEANING_DIMS,
    arguments,
    encode,
    load_student,
    load_tokenizer,
    log,
    padded,
    read_corpus,
    read_jsonl,
    read_pairs,
    token_ids,
)
from training.distil import Optimisers, distillation_loss, prepare_data, schedule
from training.perturb import perturb

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
] + [f"tag.{t}" for t in TAGS]
RANK = 32
MAX_TOKENS = 128
HELD_OUT = 0.12


@dataclass
class Row:
    """One text with what is known of it: head -> probability; `weight` of the row in its task."""

    text: str
    targets: dict[str, float]
    group: str = ""
    language: str = "en"
    source: str = ""
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass
class Pair:
    """A draft and what it is held against; `target` 0..1."""

    draft: str
    other: str
    target: float
    relation: str
    language: str
    group: str = ""
    ids: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    shared: float = 0.0


def third(label: Any) -> float:
    return float(label) / 3.0


def corpus_rows() -> list[Row]:
    rows = []
    for r in read_corpus():
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
        rows.append(Row(r["text"], targets, group(r), r["lang"], "corpus"))
    return rows


def group(r: dict[str, Any]) -> str:
    """Items of one situation stay together: by the customer's message, else the pair."""
    return r["customer"] or min(r["id"], r["pair"] or r["id"])


def message_rows() -> list[Row]:
    """Customers' messages: complaint or not, told by how they were answered and by their words."""
    rows = {}
    for r in read_corpus():
        if not r["customer"]:
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


def public_rows(data: Any) -> dict[str, list[Row]]:
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


def relevance_pairs(data: Any) -> list[Pair]:
    """Replies with their message, and with messages of another situation of the same industry."""
    rng = random.Random(5)
    corpus = [r for r in read_corpus() if r["customer"]]
    by_industry: dict[tuple[str, str], list[dict[str, Any]]] = collections.defaultdict(list)
    for r in corpus:
        by_industry[r["lang"], r["industry"]].append(r)
    by_language = {t: [r for r in corpus if r["lang"] == t] for t in ("en", "ar", "he")}
    pairs = []
    for r in corpus:
        pairs.append(
            Pair(r["text"], r["customer"], (0.05, 0.3, 0.75, 0.97)[round(r["rel"])], "reply", r["lang"], group(r))
        )
        others = [o for o in by_industry[r["lang"], r["industry"]] if o["customer"] != r["customer"]]
        for pool in ([others] if others else []) + [by_language[r["lang"]]]:
            other = rng.choice(pool)
            if other["customer"] != r["customer"]:
                pairs.append(
                    Pair(r["text"], other["customer"], 0.03 if r["rel"] > 1 else 0.1, "reply", r["lang"], group(r))
                )
    for tag in ("en", "ar", "he"):
        for r in read_jsonl(data / "train" / f"topics_{tag}.jsonl"):
            pairs.append(
                Pair(r["text"], r["brand"]["topics"][0], 0.02 + 0.95 * r["gold"]["relevant"], "topic", tag, r["text"])
            )
    return pairs


def held_out(group_name: str) -> bool:
    """Whether a situation is kept for calibration and reporting."""
    import zlib

    return zlib.crc32(group_name.encode()) % 1000 < 1000 * HELD_OUT


class Heads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2 * MEANING_DIMS, len(HEADS))
        self.left = torch.nn.ParameterDict(
            {r: torch.nn.Parameter(torch.randn(2 * MEANING_DIMS, RANK) * 0.02) for r in ("reply", "topic")}
        )
        self.right = torch.nn.ParameterDict(
            {r: torch.nn.Parameter(torch.randn(2 * MEANING_DIMS, RANK) * 0.02) for r in ("reply", "topic")}
        )
        self.scalars = torch.nn.ParameterDict(
            {r: torch.nn.Parameter(torch.tensor([8.0, 1.0, -3.0])) for r in ("reply", "topic")}
        )

    def relevance(self, relation: str, u: torch.Tensor, v: torch.Tensor, shared: torch.Tensor | float) -> torch.Tensor:
        """Logits [n, m] of every u against every v."""
        s = self.scalars[relation]
        cosine = u[:, :MEANING_DIMS] @ v[:, :MEANING_DIMS].T
        return s[0] * cosine + (u @ self.left[relation]) @ (v @ self.right[relation]).T + s[1] * shared + s[2]

    def save(self, folder: Any) -> None:
        arrays = {"heads": self.linear.weight.T, "biases": self.linear.bias}
        for relation in ("reply", "topic"):
            arrays |= {f"{relation}.left": self.left[relation], f"{relation}.right": self.right[relation],
                       f"{relation}.scalars": self.scalars[relation]}  # fmt: skip
        np.savez(folder / "heads.npz", **{k: v.detach().numpy().astype(np.float32) for k, v in arrays.items()})
        (folder / "heads.json").write_text(json.dumps({"names": list(HEADS)}))


# How often a batch of each task is drawn.
SHARES = {
    "corpus": 10.0, "messages": 1.2, "politeness_en": 2.0, "hostility_ar": 2.0, "emotions_en": 3.0, "emotions_he": 2.5,
    "sarcasm_ar": 1.6, "sentiment_ar": 0.8, "sms_en": 0.9, "mail_spam_en": 0.8, "comments_en": 0.5, "honest": 1.2,
    "reply": 4.0, "topic": 1.0, "distil": 5.0, "english": 1.6,
}  # fmt: skip
BATCH = 32
# Cross-entropy of single tags is small beside the scores'; they are hints, not the point.
HEAD_WEIGHT = {h: 0.25 for h in HEADS if h.startswith("tag.")} | {"defensiveness": 2.0, "hostility": 1.3}


def batch_loss(student: Any, heads: Heads, rows: list[Row]) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        vectors = torch.cat(encode(student, *padded([r.ids for r in rows])), -1)
    logits = heads.linear(vectors)
    target = torch.full((len(rows), len(HEADS)), -1.0)
    for i, r in enumerate(rows):
        for name, value in r.targets.items():
            target[i, HEADS.index(name)] = value
    known = target >= 0
    weight = torch.tensor([HEAD_WEIGHT.get(h, 1.0) for h in HEADS])
    losses = binary_cross_entropy_with_logits(logits, target.clamp(0, 1), reduction="none") * known * weight
    loss = losses.sum() / known.sum().clamp(min=1)
    return loss * 3 + ranking_loss(logits[:, 0], rows)


def ranking_loss(defensiveness: torch.Tensor, rows: list[Row]) -> torch.Tensor:
    """Two answers to one message must come out in the order of their labels."""
    at = collections.defaultdict(list)
    for i, r in enumerate(rows):
        if r.source == "corpus":
            at[r.group].append(i)
    terms = []
    for members in at.values():
        for i in members:
            for j in members:
                gap = rows[i].targets["defensiveness"] - rows[j].targets["defensiveness"]
                if gap > 0.3:
                    terms.append(softplus(gap * 3 - (defensiveness[i] - defensiveness[j])))
    return 0.3 * torch.stack(terms).mean() if terms else torch.zeros(())


def relevance_loss(student: Any, heads: Heads, pairs: list[Pair]) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        u = torch.cat(encode(student, *padded([p.ids[0] for p in pairs])), -1)
        v = torch.cat(encode(student, *padded([p.ids[1] for p in pairs])), -1)
    relation = pairs[0].relation
    shared = torch.tensor([p.shared for p in pairs])
    every = heads.relevance(relation, u, v, 0.0)
    own = every.diagonal() + heads.scalars[relation][1] * shared
    loss = binary_cross_entropy_with_logits(own, torch.tensor([p.target for p in pairs]))
    true = [i for i, p in enumerate(pairs) if p.target > 0.7]
    if relation == "reply" and len(true) > 4:
        loss = loss + 0.3 * cross_entropy(every[true][:, true], torch.arange(len(true)))
    return 1.5 * loss


def grouped(rows: list[Row], rng: random.Random) -> list[list[Row]]:
    """Batches in which answers to one message stay together, of like length."""
    groups = collections.defaultdict(list)
    for r in rows:
        groups[r.group].append(r)
    order = list(groups.values())
    order.sort(key=lambda g: max(len(r.ids) for r in g) + rng.uniform(0, 12))
    flat = [r for g in order for r in g]
    batches = [flat[i : i + BATCH] for i in range(0, len(flat), BATCH)]
    rng.shuffle(batches)
    return batches


def main() -> None:
    args = arguments("tasks", minutes=25.0, start="distilled.pt")
    tokenizer = load_tokenizer(args.work)
    rng = random.Random(args.seed)
    tasks: dict[str, list[Any]] = {"corpus": corpus_rows(), "messages": message_rows()} | public_rows(args.data)
    tasks = {
        name: [r for r in rows if not (name in ("corpus", "messages") and held_out(r.group))]
        for name, rows in tasks.items()
    }
    pairs = [p for p in relevance_pairs(args.data) if p.relation == "topic" or not held_out(p.group)]
    for rows in tasks.values():
        for r, ids in zip(
            rows, token_ids(tokenizer, [prepare(perturb(r.text, rng, 0.15)) for r in rows], MAX_TOKENS), strict=True
        ):
            r.ids = ids
    first = token_ids(tokenizer, [prepare(p.draft) for p in pairs], MAX_TOKENS)
    second = token_ids(tokenizer, [prepare(p.other) for p in pairs], MAX_TOKENS)
    for p, a, b in zip(pairs, first, second, strict=True):
        p.ids, p.shared = (a, b), overlap(p.draft, p.other)
    tasks |= {
        "reply": [p for p in pairs if p.relation == "reply"],
        "topic": [p for p in pairs if p.relation == "topic"],
    }
    other, english = prepare_data(args)
    student = load_student(args.work, args.start).train()
    heads = Heads()
    optimisers = Optimisers(student, 1e-4, 4e-4, list(heads.parameters()))
    np_rng = np.random.default_rng(args.seed)
    queues: dict[str, list[Any]] = {name: [] for name in SHARES}
    average: dict[str, torch.Tensor] | None = None
    started = saved = time.time()
    step, sums = 0, collections.Counter()
    names, shares = list(SHARES), np.array(list(SHARES.values()))
    while (done := (time.time() - started) / 60 / args.minutes) < 1:
        name = names[np_rng.choice(len(names), p=shares / shares.sum())]
        if not queues[name]:
            if name in ("distil", "english"):
                source = other if name == "distil" else english
                queues[name] = list(source.epoch(np_rng, 20_000))
                np_rng.shuffle(queues[name])
            elif name in ("reply", "topic"):
                shuffled = rng.sample(tasks[name], len(tasks[name]))
                shuffled.sort(key=lambda p: len(p.ids[0]) + len(p.ids[1]) + rng.uniform(0, 20))
                queues[name] = [shuffled[i : i + BATCH // 2] for i in range(0, len(shuffled), BATCH // 2)]
                rng.shuffle(queues[name])
            else:
                queues[name] = grouped(tasks[name], rng)
        batch = queues[name].pop()
        if name in ("distil", "english"):
            loss = distillation_loss(student, other if name == "distil" else english, batch)
        elif name in ("reply", "topic"):
            loss = relevance_loss(student, heads, batch)
        else:
            loss = batch_loss(student, heads, batch)
        optimisers.step(loss, schedule(done))
        step += 1
        sums[name] += float(loss.detach())
        sums["n." + name] += 1
        if done > 0.5 and step % 10 == 0:  # the average of the last half is steadier than its end
            state = {
                k: v.detach().clone()
                for k, v in (*student.state_dict().items(), *((f"heads.{k}", v) for k, v in heads.state_dict().items()))
            }
            if average is None:
                average = state
            else:
                for k, v in state.items():
                    if v.is_floating_point():
                        average[k].lerp_(v, 0.02)
        if time.time() - saved > 240:
            save(args, student, heads, average)
            saved = time.time()
            log(args, "tasks", batches=step, minutes=round(done * args.minutes, 1),
                loss={n: round(sums[n] / sums["n." + n], 3) for n in names if sums["n." + n]})  # fmt: skip
            sums.clear()
    save(args, student, heads, average)
    log(args, "tasks", batches=step)


def save(args: Any, student: Any, heads: Heads, average: dict[str, torch.Tensor] | None) -> None:
    """Write the averaged weights where there are some, else the last."""
    final = Heads()
    if average is None:
        torch.save(student.state_dict(), args.work / "tuned.pt")
        final = heads
    else:
        torch.save({k: v for k, v in average.items() if not k.startswith("heads.")}, args.work / "tuned.pt")
        final.load_state_dict({k.removeprefix("heads."): v for k, v in average.items() if k.startswith("heads.")})
    final.save(args.work)


if __name__ == "__main__":
    main()
