"""Step 4: the encoder and all heads are trained together, with distillation kept in the mix.

Every head is a linear reading of [meaning | manner]. The meaning half is held to where
distillation left it. Relevance is a
cosine plus a learned bilinear form, trained on the corpus's labels and in-batch contrast.
"""

from __future__ import annotations

import collections
import json
import random
import time
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, cross_entropy, softplus

from softanswer.encoder.inputs import prepare
from softanswer.encoder.model import overlap
from training.common import (
    MEANING_DIMS,
    arguments,
    embed,
    encode,
    load_student,
    load_tokenizer,
    log,
    padded,
    token_ids,
)
from training.distil import Optimisers, distillation_loss, prepare_data, schedule
from training.perturb import perturb
from training.rows import HEADS, Pair, Row, corpus_rows, held_out, message_rows, public_rows, relevance_pairs

RANK = 32
MAX_TOKENS = 128


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
    "corpus": 11.0, "people": 2.5, "messages": 1.2, "politeness_en": 2.0, "hostility_ar": 2.0, "emotions_en": 3.0, "emotions_he": 2.5,
    "sarcasm_ar": 1.6, "sentiment_ar": 0.8, "sms_en": 0.9, "mail_spam_en": 0.8, "comments_en": 0.5, "honest": 1.2,
    "reply": 4.5, "topic": 1.0, "distil": 5.0, "english": 2.0,
}  # fmt: skip
BATCH = 32
# How strongly the meaning half of a vector is held to where distillation left it.
KEEP = 1.5
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
    kept = 1 - cosine_similarity(vectors[:, :MEANING_DIMS], torch.from_numpy(np.stack([r.meaning for r in rows])))
    return loss * 3 + ranking_loss(logits[:, 0], rows) + KEEP * kept.mean()


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
    tasks["people"] = [r for r in tasks["corpus"] if r.source == "people"]
    tasks["corpus"] = [r for r in tasks["corpus"] if r.source == "corpus"]
    tasks = {
        name: [r for r in rows if not (name in ("corpus", "people", "messages") and held_out(r.group))]
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
    student = load_student(args.work, args.start)
    for rows in tasks.values():
        if isinstance(rows[0], Row):
            for r, meaning in zip(rows, embed(student.eval(), [r.ids for r in rows])[0], strict=True):
                r.meaning = meaning
    student.train()
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
            loss = distillation_loss(student, other if name == "distil" else english, batch, rng)
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
