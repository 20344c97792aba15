"""Step 2: the student is drawn to the whole of multilingual-e5-small, on people's own texts and on translations.

The teacher reads each text in its own language, so any text teaches; of a sentence pair both
sides are drawn to the middle of the two, which brings the languages closer than the teacher has
them (Reimers & Gurevych 2020). One vector a text teaches little, so the student's states of each
token are drawn to the teacher's as well, on the same tokens (TinyBERT, Jiao et al. 2020). Resumable:
the checkpoint holds the weights; the optimiser and the schedule start afresh, so tell it the minutes left.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tokenizers import Tokenizer
from torch.nn.functional import cosine_similarity, kl_div, log_softmax, normalize, softmax
from transformers import BertModel

from softanswer.encoder.inputs import prepare, tidy
from training import multilingual
from training.common import (
    LANGUAGES,
    arguments,
    bert,
    embed,
    load_student,
    load_tokenizer,
    log,
    mean,
    padded,
    read_corpus,
    read_jsonl,
    read_pairs,
    token_ids,
)  # fmt: skip
from training.initialise import tokenizer_of
from training.perturb import perturb

MAX_TOKENS = 64
BATCH_TOKENS = 2304
# People's own words and shop talk are seen this much more often than interface strings.
WEIGHT = {
    "tatoeba_manythings": 2.5, "chatwoot": 3.0, "bagisto": 2.0, "mozilla_www": 2.0, "wordpress": 1.2,
    "discourse": 1.5, "ms_dynamics_docs": 1.0, "ms_beginners": 1.0, "odoo": 0.8, "ms_slug_headings": 0.5,
}  # fmt: skip
PAIRS = 50_000
PUBLIC = {
    "en": ("emotions_en", "politeness_en", "sms_en", "comments_en", "mail_spam_en"),
    "ar": ("hostility_ar", "sarcasm_ar", "sentiment_ar"),
    "he": ("emotions_he",),
}
# How often a language is seen, and how much of that is what people wrote rather than sentence pairs.
SHARE = {"en": (0.3, 0.65), "ar": (0.35, 0.4), "he": (0.35, 0.4)}
SHARPNESS, ALIKE_SHARE = 20.0, 0.3
# The teacher's vectors crowd in one corner (two texts at random have cosine 0.85); half of their mean is taken
# away. Taking all of it costs 0.03 of STS-B. What each language's mean has of its own goes wholly.
CENTRED = 0.5
# Which of the student's layers is drawn to which of the teacher's, and how strongly; the last above all.
DEPTHS = {2: (4, 0.15), 4: (8, 0.15), 6: (12, 0.5)}


class Texts:
    """Texts with the vector that each should have; typed anew each time they are drawn.

    `shifts` is what centring adds to the teacher's vectors of each text's language, [n, 384].
    """

    def __init__(
        self, tokenizer: Tokenizer, texts: list[str], targets: np.ndarray, shifts: np.ndarray, weights: np.ndarray
    ):
        self.tokenizer, self.texts, self.targets, self.shifts = tokenizer, texts, targets, shifts
        self.weights = weights / weights.sum()
        self.lengths = np.array([len(r) for r in token_ids(tokenizer, [t.lower() for t in texts], MAX_TOKENS)])

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
        return token_ids(self.tokenizer, [prepare(perturb(self.texts[i], rng)) for i in chosen], MAX_TOKENS)


def prepare_data(args: object, most: int = 500_000) -> Texts:
    """The texts of distillation, `most` of a language and of a kind; the teacher's vectors are cached in the work folder."""
    work, data, seed = args.work, args.data, args.seed  # type: ignore[attr-defined]
    own = {}
    for tag in LANGUAGES:
        texts = own_texts(data, tag)
        own[tag] = random.Random(seed).sample(texts, min(most, len(texts)))
    pairs = {}
    for tag in ("ar", "he"):
        rows = read_pairs(data, tag, random.Random(seed))
        weight = np.array([WEIGHT.get(r[2], 1.0) for r in rows])
        chosen = np.random.default_rng(seed).choice(len(rows), min(PAIRS, most), replace=False, p=weight / weight.sum())
        pairs[tag] = [rows[i] for i in chosen]
    parts = [(tag, own[tag]) for tag in LANGUAGES]
    parts += [
        part for tag, rows in pairs.items() for part in (("en", [r[0] for r in rows]), (tag, [r[1] for r in rows]))
    ]
    raw = teacher_vectors(work, [t for _, texts in parts for t in texts])
    ends = np.cumsum([len(texts) for _, texts in parts])[:-1]
    shift = centring([tag for tag, _ in parts], np.split(raw, ends))
    shifts = np.concatenate([np.tile(shift[tag].astype(np.float16), (len(texts), 1)) for tag, texts in parts])
    vectors = np.split(unit(raw + shifts), ends)
    for english, other in ((3, 4), (5, 6)):
        vectors[english] = vectors[other] = unit(vectors[english] + vectors[other])
    weights = []
    for i, (tag, texts) in enumerate(parts):
        share, people = SHARE[tag]
        share *= people if i < len(LANGUAGES) else (1 - people) / (2 if tag == "en" else 1)
        weights.append(np.full(len(texts), share / len(texts)))
    texts = [t for _, part in parts for t in part]
    return Texts(load_tokenizer(work), texts, np.concatenate(vectors), shifts, np.concatenate(weights))


def own_texts(data: Path, tag: str) -> list[str]:
    """A language as people write it: the corpus and the public training texts."""
    own = [t for r in read_corpus() if r["lang"] == tag for t in (r["text"], r["customer"]) if t]
    own += [r["text"][:600] for name in PUBLIC[tag] for r in read_jsonl(data / "train" / f"{name}.jsonl")]
    return [t for t in dict.fromkeys(map(tidy, own)) if t]


def teacher_vectors(work: Path, texts: list[str]) -> np.ndarray:
    """The teacher's vectors, float32 [n, 384]; what it has read once is cached."""
    path = work / "teacher.npz"
    known: dict[bytes, np.ndarray] = {}
    if path.exists():
        cache = np.load(path)
        known = dict(zip(map(bytes, cache["keys"]), cache["vectors"], strict=True))
    keys = [hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts]
    fresh = {k: t for k, t in zip(keys, texts, strict=True) if k not in known}
    if fresh:
        source = multilingual.read()
        rows = token_ids(tokenizer_of(source.pieces, source.scores), list(fresh.values()), MAX_TOKENS)
        vectors, _ = embed(bert(source.state).eval(), rows)
        known |= zip(fresh, vectors.astype(np.float16), strict=True)
        saved = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 16)
        np.savez(path, keys=saved, vectors=np.stack(list(known.values())))
    return np.stack([known[k] for k in keys]).astype(np.float32)


def centring(tags: list[str], parts: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What to add to a language's vectors so that they lose what it alone adds, and half of what all share."""
    means = {
        tag: np.mean([part.mean(0) for t, part in zip(tags, parts, strict=True) if t == tag], 0) for tag in LANGUAGES
    }
    return {tag: (1 - CENTRED) * means["en"] - means[tag] for tag in LANGUAGES}


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def distillation_loss(
    student: BertModel,
    texts: Texts,
    chosen: np.ndarray,
    rng: random.Random,
    teacher: BertModel,
    depths: dict[int, tuple[int, float]] = DEPTHS,
) -> torch.Tensor:
    """1 - cosine to the teacher's vectors, how alike the texts of a batch are to it, and its states at `depths`.

    Against the texts of the batch as hard negatives the student forgets how alike two sentences are.
    """
    ids, mask = padded(texts.rows(chosen, rng))
    with torch.autocast("cpu", torch.bfloat16):
        states = student(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    meaning = normalize(mean(states[-1].float(), mask), dim=-1)
    target = torch.from_numpy(texts.targets[chosen])
    alike = kl_div(
        log_softmax(SHARPNESS * meaning @ target.T, -1),
        softmax(SHARPNESS * target @ target.T, -1),
        reduction="batchmean",
    )
    shift = torch.from_numpy(texts.shifts[chosen].astype(np.float32))
    return (
        (1 - cosine_similarity(meaning, target)).mean()
        + ALIKE_SHARE * alike
        + states_loss(states, teacher_states(teacher, ids, mask, shift), mask.bool(), depths)
    )


@torch.no_grad()
def teacher_states(
    teacher: BertModel, ids: torch.Tensor, mask: torch.Tensor, shift: torch.Tensor
) -> list[torch.Tensor]:
    """The states of every token after each layer; the last centred, as the vectors of whole texts are."""
    states = [s.float() for s in teacher(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states]
    length = mean(states[-1], mask).norm(dim=-1, keepdim=True)
    states[-1] = states[-1] + (shift * length).unsqueeze(1)
    return states


def states_loss(
    student: tuple[torch.Tensor, ...],
    teacher: list[torch.Tensor],
    real: torch.Tensor,
    depths: dict[int, tuple[int, float]],
) -> torch.Tensor:
    """Squared error of the tokens' states, as a share of their variance."""
    loss = torch.zeros(())
    for depth, (teachers_depth, share) in depths.items():
        target = teacher[teachers_depth][real]
        error = ((student[depth].float()[real] - target) ** 2).mean()
        loss = loss + share * error / target.var(0).mean()
    return loss


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


def alikeness(student: BertModel, work: Path, data: Path) -> float:
    """STS-B dev: Spearman of cosine and what people said."""
    with open(data / "dev/encoder/stsb.dev.tsv", encoding="utf8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    tokenizer = load_tokenizer(work)
    a, b = (embed(student, token_ids(tokenizer, [prepare(r[i]) for r in rows], 128))[0] for i in (0, 1))
    return float(spearmanr((a * b).sum(1), [float(r[2]) for r in rows])[0])


def main() -> None:
    args = arguments("distil", minutes=45.0, texts=100_000, rate=1.2e-4)
    texts = prepare_data(args)
    log(args, "distil", texts=len(texts.texts))
    checkpoint = args.work / "distilled.pt"
    student = load_student(args.work, "distilled.pt" if checkpoint.exists() else "initial.pt")
    # Without dropout: no text is seen twice.
    student.eval()
    teacher = load_student(args.work, "teacher.pt").eval().to(torch.bfloat16)
    optimisers = Optimisers(student, args.rate, 3 * args.rate)
    rng, typing = np.random.default_rng(args.seed), random.Random(args.seed)
    started = saved = reported = time.time()
    step = seen = 0
    loss_sum = 0.0
    while (done := (time.time() - started) / 60 / args.minutes) < 1:
        batches = texts.epoch(rng, args.texts)
        for index in rng.permutation(len(batches)):
            chosen = batches[index]
            loss = distillation_loss(student, texts, chosen, typing, teacher)
            optimisers.step(loss, schedule(done))
            step, seen, loss_sum = step + 1, seen + len(chosen), loss_sum + float(loss.detach())
            now = time.time()
            done = (now - started) / 60 / args.minutes
            if now - saved > 240 or done >= 1:
                torch.save(student.state_dict(), checkpoint)
                saved = now
            if step % 200 == 0:
                rate = round(seen / (now - started))
                log(args, "distil", batches=step, seen=seen, loss=round(loss_sum / 200, 4), per_second=rate)
                loss_sum = 0.0
            if now - reported > 300:
                report(args, student)
                reported = now
            if done >= 1:
                break
    report(args, student)


def report(args: object, student: BertModel) -> None:
    values = {
        name: retrieval(student, args.work, args.data, name)  # type: ignore[attr-defined]
        for name in ("flores.en-ar.tsv", "flores.en-he.tsv", "ntrex.en-ar.tsv", "ntrex.en-he.tsv")
    }
    log(args, "distil", retrieval=values, stsb=round(alikeness(student, args.work, args.data), 3))  # type: ignore[attr-defined, arg-type]


if __name__ == "__main__":
    main()
