"""Step 3: student(translation) is drawn to teacher(English) (Reimers & Gurevych 2020).

Resumable: the checkpoint holds the weights; the optimiser and the schedule start afresh, so tell it the minutes left.
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cosine_similarity, cross_entropy
from transformers import BertModel

from softanswer.encoder.inputs import prepare
from training.common import (
    arguments,
    embed,
    encode,
    load_student,
    load_teacher,
    load_tokenizer,
    log,
    padded,
    read_corpus,
    read_jsonl,
    read_pairs,
    teacher_folder,
    token_ids,
)  # fmt: skip
from training.lexicon import Switcher, read_lexicon
from training.perturb import perturb

MAX_TOKENS = 64
BATCH_TOKENS = 2304
# People's own words and shop talk are seen this much more often than interface strings.
WEIGHT = {
    "tatoeba_manythings": 2.5, "chatwoot": 3.0, "bagisto": 2.0, "mozilla_www": 2.0, "wordpress": 1.2,
    "discourse": 1.5, "ms_dynamics_docs": 1.0, "ms_beginners": 1.0, "odoo": 0.8, "ms_slug_headings": 0.5,
}  # fmt: skip
CONTRAST, CONTRAST_SHARE = 20.0, 0.1


# How a language's texts divide: sentence pairs, words of the lists, English sentences with words switched.
LEXICON_SHARE, SWITCHED_SHARE, SWITCHED = 0.12, 0.2, 60_000


class Pairs:
    """Source texts with the teacher's vector of the English beside each; typed anew each time they are drawn."""

    def __init__(self, tokenizer: Tokenizer, texts: list[str], targets: list[np.ndarray], weights: list[np.ndarray]):
        self.tokenizer, self.texts, self.targets = tokenizer, texts, np.concatenate(targets)
        joined = np.concatenate(weights)
        self.weights = joined / joined.sum()
        self.lengths = np.array([min(len(r), MAX_TOKENS) for r in token_ids(tokenizer, texts, MAX_TOKENS)])

    def epoch(self, rng: np.random.Generator, size: int) -> list[np.ndarray]:
        """Draw about `size` texts by weight, in batches of like length."""
        drawn = rng.choice(len(self.texts), size, p=self.weights)
        length = self.lengths[drawn] + rng.uniform(0, 2, size)
        drawn = drawn[np.argsort(length)]
        batches, start = [], 0
        while start < len(drawn):
            longest = -(-self.lengths[drawn[min(start + 40, len(drawn) - 1)]] // 8 * 8)
            end = start + min(192, max(8, BATCH_TOKENS // int(longest)))
            batches.append(drawn[start:end])
            start = end
        return batches

    def rows(self, chosen: np.ndarray, rng: random.Random) -> list[np.ndarray]:
        return token_ids(self.tokenizer, [perturb(self.texts[i], rng) for i in chosen], MAX_TOKENS)


def teacher_vectors(args: object, texts: list[str], name: str) -> np.ndarray:
    """The teacher's meaning vectors of English texts, cached as float16."""
    path = args.work / f"teacher_{name}_{len(texts)}.npy"  # type: ignore[attr-defined]
    if not path.exists():
        vectors, _ = embed(load_teacher(), token_ids(load_tokenizer(teacher_folder()), texts, 128))
        np.save(path, vectors.astype(np.float16))
    return np.load(path, mmap_mode="r")


def prepare_data(args: object) -> tuple[Pairs, Pairs]:
    """(translations, English) with the teacher's vectors."""
    work, data, seed = args.work, args.data, args.seed  # type: ignore[attr-defined]
    tokenizer = load_tokenizer(work)
    rng = random.Random(seed)
    own = english_texts(data)
    own_targets = np.asarray(teacher_vectors(args, own, "own"))
    texts: list[str] = []
    targets, weights = [], []
    english, english_targets = list(own), [own_targets]
    for tag in ("ar", "he"):
        pairs = read_pairs(data, tag, random.Random(seed))
        vectors = teacher_vectors(args, [p[0] for p in pairs], tag)
        words = read_lexicon(work, tag)
        word_vectors = teacher_vectors(args, [w[0] for w in words], f"words_{tag}")
        switcher = Switcher(words)
        switched = rng.sample(range(len(own)), min(SWITCHED, len(own)))
        texts += [p[1] for p in pairs] + [w[1] for w in words]
        texts += [switcher.switch(own[i], rng, rng.choice((0.5, 0.8, 1.0))) for i in switched]
        targets += [vectors, word_vectors, own_targets[switched]]
        # The two languages are seen equally often, whatever the number of their pairs.
        weight = np.array([WEIGHT.get(p[2], 1.0) for p in pairs])
        weights.append((1 - LEXICON_SHARE - SWITCHED_SHARE) * weight / weight.sum())
        weights.append(np.full(len(words), LEXICON_SHARE / len(words)))
        weights.append(np.full(len(switched), SWITCHED_SHARE / len(switched)))
        some = rng.sample(range(len(pairs)), 30_000)
        english += [pairs[i][0] for i in some]
        english_targets.append(np.asarray(vectors[some]))
    return (
        Pairs(tokenizer, texts, targets, weights),
        Pairs(tokenizer, english, english_targets, [np.ones(len(english))]),
    )


def english_texts(data: Path) -> list[str]:
    """English as people write it: the corpus and the public training texts."""
    own = [t for r in read_corpus() if r["lang"] == "en" for t in (r["text"], r["customer"]) if t]
    for name in ("emotions_en", "politeness_en", "sms_en", "comments_en", "mail_spam_en"):
        own += [r["text"][:600] for r in read_jsonl(data / "train" / f"{name}.jsonl")]
    return [t for t in dict.fromkeys(map(prepare, own)) if t]


def distillation_loss(student: BertModel, pairs: Pairs, chosen: np.ndarray, rng: random.Random) -> torch.Tensor:
    """1 - cosine to the teacher, and a little in-batch contrast."""
    with torch.autocast("cpu", torch.bfloat16):
        meaning, _ = encode(student, *padded(pairs.rows(chosen, rng)))
    target = torch.nn.functional.normalize(torch.from_numpy(pairs.targets[chosen].astype(np.float32)), dim=-1)
    contrast = cross_entropy(CONTRAST * meaning @ target.T, torch.arange(len(chosen)))
    return (1 - cosine_similarity(meaning, target)).mean() + CONTRAST_SHARE * contrast


class Optimisers:
    """SparseAdam for the word pieces, AdamW for the rest; one learning-rate factor for both."""

    def __init__(
        self, student: BertModel, rate: float, pieces_rate: float, extra: list[torch.nn.Parameter] | None = None
    ) -> None:
        table = student.embeddings.word_embeddings
        table.sparse = True
        rest = [p for p in student.parameters() if p is not table.weight]
        self.all = [
            (torch.optim.SparseAdam([table.weight], lr=pieces_rate), pieces_rate),
            (torch.optim.AdamW(rest, lr=rate, weight_decay=0.01), rate),
        ]
        if extra:
            self.all.append((torch.optim.AdamW(extra, lr=1e-3, weight_decay=0.01), 1e-3))
        self.rest = rest

    def step(self, loss: torch.Tensor, factor: float) -> None:
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        for optimiser, rate in self.all:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


def schedule(done: float) -> float:
    """Warm up over 2 %, then a cosine to a twentieth; `done` 0..1."""
    return min(1.0, done / 0.02 + 0.05) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def retrieval(student: BertModel, work: Path, data: Path, name: str, n: int = 400) -> tuple[float, float]:
    """Retrieval@1 among n parallel sentences, both directions."""
    tokenizer = load_tokenizer(work)
    pairs = [
        row[:2] for row in map(lambda l: l.rstrip("\n").split("\t"), open(data / "dev/encoder" / name, encoding="utf8"))
    ][:n]
    english, _ = embed(student, token_ids(tokenizer, [prepare(p[0]) for p in pairs], 128))
    other, _ = embed(student, token_ids(tokenizer, [prepare(p[1]) for p in pairs], 128))
    alike = english @ other.T
    truth = np.arange(len(pairs))
    return float((alike.argmax(1) == truth).mean()), float((alike.argmax(0) == truth).mean())


def main() -> None:
    args = arguments("distil", minutes=55.0, texts=120_000, rate=2e-4)
    other, english = prepare_data(args)
    log(args, "distil", texts=len(other.texts), english=len(english.texts))
    checkpoint = args.work / "distilled.pt"
    student = load_student(args.work, "distilled.pt" if checkpoint.exists() else "initial.pt").train()
    optimisers = Optimisers(student, args.rate, 5 * args.rate)
    rng, typing = np.random.default_rng(args.seed), random.Random(args.seed)
    started = saved = reported = time.time()
    step = seen = 0
    loss_sum = 0.0
    while (done := (time.time() - started) / 60 / args.minutes) < 1:
        batches = [(other, b) for b in other.epoch(rng, args.texts)] + [
            (english, b) for b in english.epoch(rng, args.texts // 4)
        ]
        for index in rng.permutation(len(batches)):
            pairs, chosen = batches[index]
            loss = distillation_loss(student, pairs, chosen, typing)
            optimisers.step(loss, schedule(done))
            step, seen, loss_sum = step + 1, seen + len(chosen), loss_sum + float(loss.detach())
            now = time.time()
            done = (now - started) / 60 / args.minutes
            if now - saved > 240 or done >= 1:
                torch.save(student.state_dict(), checkpoint)
                saved = now
            if step % 200 == 0:
                log(
                    args,
                    "distil",
                    batches=step,
                    seen=seen,
                    loss=round(loss_sum / 200, 4),
                    per_second=round(seen / (now - started)),
                )
                loss_sum = 0.0
            if now - reported > 600:
                report(args, student)
                reported = now
            if done >= 1:
                break
    report(args, student)


def report(args: object, student: BertModel) -> None:
    student.eval()
    values = {
        name: retrieval(student, args.work, args.data, name)  # type: ignore[attr-defined]
        for name in ("flores.en-ar.tsv", "flores.en-he.tsv", "ntrex.en-ar.tsv", "ntrex.en-he.tsv")
    }
    log(args, "distil", retrieval=values)  # type: ignore[arg-type]
    student.train()


if __name__ == "__main__":
    main()
