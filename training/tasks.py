"""Step 3: the encoder and all heads are trained together, with distillation kept in the mix.

Every head is a linear reading of [meaning | manner]. Relevance is a cosine and shared word parts, to topics a learned
bilinear form too, trained on labels and, of replies, in-batch contrast. `--start tuned.pt` goes on from where an earlier
run ended, `--start thawed.pt` from the weights that are bundled; heads included.
"""

from __future__ import annotations

import collections
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from softanswer.encoder.inputs import prepare
from softanswer.encoder.model import alike, parts
from training.common import (
    MEANING_DIMS,
    arguments,
    encode,
    load_student,
    load_tokenizer,
    log,
    padded,
    token_ids,
)
from training.distil import DEPTHS, Optimisers, distillation_loss, prepare_data, schedule
from training.perturb import perturb
from training.rows import HEADS, Pair, Row, corpus_rows, held_out, message_rows, public_rows, relevance_pairs

RANK = 32
# What step 3 begins with, of each relation: how much cosine and shared word parts weigh, and the bias.
SCALARS = (20.0, 20.0, -15.0)
MAX_TOKENS = 128


class Heads(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2 * MEANING_DIMS, len(HEADS))
        self.left = torch.nn.Parameter(torch.randn(2 * MEANING_DIMS, RANK) * 0.02)
        self.right = torch.nn.Parameter(torch.randn(2 * MEANING_DIMS, RANK) * 0.02)
        self.scalars = torch.nn.ParameterDict(
            {r: torch.nn.Parameter(torch.tensor(SCALARS)) for r in ("reply", "topic")}
        )

    def relevance(self, relation: str, u: torch.Tensor, v: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
        """Logits [n, m] of every u against every v; `shared` [n, m] is how many word parts they share."""
        s = self.scalars[relation]
        logits = s[0] * (u[:, :MEANING_DIMS] @ v[:, :MEANING_DIMS].T) + s[1] * shared + s[2]
        # Of replies a learned form knows the corpus's pairs by heart, and ranks new ones worse than without it.
        return logits + (u @ self.left) @ (v @ self.right).T if relation == "topic" else logits

    def load(self, path: Path) -> None:
        arrays = {k: torch.from_numpy(v) for k, v in np.load(path).items()}
        state = {"linear.weight": arrays["heads"].T, "linear.bias": arrays["biases"]}
        state |= {part: arrays[f"topic.{part}"] for part in ("left", "right")}
        state |= {f"scalars.{relation}": arrays[f"{relation}.scalars"] for relation in ("reply", "topic")}
        self.load_state_dict(state)

    def save(self, path: Path) -> None:
        arrays = {"heads": self.linear.weight.T, "biases": self.linear.bias}
        nothing = torch.zeros(2 * MEANING_DIMS, 1)
        arrays |= {"topic.left": self.left, "topic.right": self.right, "reply.left": nothing, "reply.right": nothing}
        arrays |= {f"{relation}.scalars": scalars for relation, scalars in self.scalars.items()}
        np.savez(path, **{k: v.detach().numpy().astype(np.float32) for k, v in arrays.items()})


# How often a batch of each task is drawn.
SHARES = {
    "corpus": 14.0, "people": 4.0, "messages": 1.2, "politeness_en": 3.0, "hostility_ar": 2.0, "emotions_en": 3.0, "emotions_he": 2.5,
    "sarcasm_ar": 1.6, "sentiment_ar": 0.8, "sms_en": 0.8, "mail_spam_en": 0.4, "comments_en": 0.5, "honest": 2.0,
    "reply": 5.0, "topic": 1.0, "distil": 9.0,
}  # fmt: skip
BATCH = 32
PAIRS = 48
# So many texts of a language and of a kind are enough for distillation's share of the batches.
DISTILLED = 9_000
CONTRAST_SHARE = 0.4
# Cross-entropy of single tags is small beside the scores'; they are hints, not the point.
HEAD_WEIGHT = {h: 0.25 for h in HEADS if h.startswith("tag.")} | {"defensiveness": 2.0, "hostility": 1.3}


class Typist:
    """Texts to token ids, some of them typed as people might have."""

    def __init__(self, work: Path, rng: random.Random) -> None:
        self.tokenizer, self.rng = load_tokenizer(work), rng

    def __call__(self, texts: list[str], share: float = 0.2) -> list[np.ndarray]:
        return token_ids(self.tokenizer, [prepare(perturb(t, self.rng, share)) for t in texts], MAX_TOKENS)


def read(student: Any, rows: list[np.ndarray]) -> torch.Tensor:
    """[meaning | manner] of texts, float32 [n, 768]."""
    with torch.autocast("cpu", torch.bfloat16):
        return torch.cat(encode(student, *padded(rows)), -1)


def batch_loss(student: Any, heads: Heads, typed: Typist, rows: list[Row]) -> torch.Tensor:
    vectors = read(student, typed([r.text for r in rows]))
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


def relevance_loss(student: Any, heads: Heads, typed: Typist, pairs: list[Pair]) -> torch.Tensor:
    """Each pair by its label; and of replies, what belongs together against all else in the batch."""
    relation = pairs[0].relation
    drafts = {text: n for n, text in enumerate(dict.fromkeys(p.draft for p in pairs))}
    others = {text: n for n, text in enumerate(dict.fromkeys(p.other for p in pairs))}
    vectors = read(student, typed([*drafts, *others]))
    words = {text: parts(text) for text in (*drafts, *others)}
    shared = torch.tensor([[alike(words[draft], words[other]) for other in others] for draft in drafts])
    every = heads.relevance(relation, vectors[: len(drafts)], vectors[len(drafts) :], shared)
    rows = torch.tensor([drafts[p.draft] for p in pairs])
    columns = torch.tensor([others[p.other] for p in pairs])
    target = torch.tensor([p.target for p in pairs])
    loss = binary_cross_entropy_with_logits(every[rows, columns], target)
    true = target > 0.7
    if relation == "reply" and true.any():
        loss = loss + CONTRAST_SHARE * contrast(every, rows[true], columns[true])
    return 1.5 * loss


def contrast(every: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the true cells of a matrix of logits against what else is in their row and in their column."""
    true = torch.zeros_like(every, dtype=torch.bool)
    true[rows, columns] = True
    wrong = every.masked_fill(true, -1e4)  # two answers to one message are no rivals
    cells = every[rows, columns]
    by_row = torch.logaddexp(cells, wrong.logsumexp(1)[rows]) - cells
    by_column = torch.logaddexp(cells, wrong.logsumexp(0)[columns]) - cells
    return (by_row + by_column).mean() / 2


def grouped(rows: list[Row], rng: random.Random) -> list[list[Row]]:
    """Batches in which answers to one message stay together, of like length."""
    groups = collections.defaultdict(list)
    for r in rows:
        groups[r.group].append(r)
    order = list(groups.values())
    order.sort(key=lambda g: max(r.length for r in g) + rng.uniform(0, 12))
    flat = [r for g in order for r in g]
    batches = [flat[i : i + BATCH] for i in range(0, len(flat), BATCH)]
    rng.shuffle(batches)
    return batches


def by_world(pairs: list[Pair], rng: random.Random) -> list[list[Pair]]:
    """Batches of pairs from one brand or industry, so that what does not belong together is still near."""
    place = {world: rng.random() for world in sorted({p.world for p in pairs})}
    order = sorted(pairs, key=lambda p: (place[p.world], len(p.draft) + len(p.other) + rng.uniform(0, 80)))
    batches = [order[i : i + PAIRS] for i in range(0, len(order), PAIRS)]
    rng.shuffle(batches)
    return batches


def main() -> None:
    args = arguments("tasks", minutes=40.0, start="distilled.pt", rate=1.0)
    rng = random.Random(args.seed)
    typed = Typist(args.work, rng)
    tasks: dict[str, list[Any]] = {"corpus": corpus_rows(), "messages": message_rows()} | public_rows(args.data)
    tasks["people"] = [r for r in tasks["corpus"] if r.source == "people"]
    tasks["corpus"] = [r for r in tasks["corpus"] if r.source == "corpus"]
    tasks = {
        name: [r for r in rows if not (name in ("corpus", "people", "messages") and held_out(r.group))]
        for name, rows in tasks.items()
    }
    pairs = [p for p in relevance_pairs(args.data) if p.relation == "topic" or not held_out(p.group)]
    tasks |= {
        "reply": [p for p in pairs if p.relation == "reply"],
        "topic": [p for p in pairs if p.relation == "topic"],
    }
    distillation = prepare_data(args, DISTILLED)
    teacher = load_student(args.work, "teacher.pt").eval().to(torch.bfloat16)
    student = load_student(args.work, args.start)
    for rows in tasks.values():
        if isinstance(rows[0], Row):
            ids = typed([r.text for r in rows], share=0)
            for r, tokens in zip(rows, ids, strict=True):
                r.length = len(tokens)
    # Without dropout: no text is seen often enough for it, and it takes a third of the time.
    student.eval()
    heads = Heads()
    if args.start != "distilled.pt":
        heads.load((args.work / args.start).with_suffix(".npz"))
    optimisers = Optimisers(student, 1.2e-4 * args.rate, 2e-4 * args.rate, list(heads.parameters()))
    np_rng = np.random.default_rng(args.seed)
    queues: dict[str, list[Any]] = {name: [] for name in SHARES}
    average: dict[str, torch.Tensor] | None = None
    started = saved = time.time()
    step, sums = 0, collections.Counter()
    names, shares = list(SHARES), np.array(list(SHARES.values()))
    while (done := (time.time() - started) / 60 / args.minutes) < 1:
        name = names[np_rng.choice(len(names), p=shares / shares.sum())]
        if not queues[name]:
            if name == "distil":
                queues[name] = distillation.epoch(np_rng, 20_000)
                np_rng.shuffle(queues[name])
            elif name in ("reply", "topic"):
                queues[name] = by_world(tasks[name], rng)
            else:
                queues[name] = grouped(tasks[name], rng)
        batch = queues[name].pop()
        if name == "distil":
            loss = distillation_loss(student, distillation, batch, rng, teacher, {6: DEPTHS[6]})
        elif name in ("reply", "topic"):
            loss = relevance_loss(student, heads, typed, batch)
        else:
            loss = batch_loss(student, heads, typed, batch)
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
    final.save(args.work / "tuned.npz")


if __name__ == "__main__":
    main()
