"""Step 2: each new piece starts as the English pieces it meets most in parallel text."""

from __future__ import annotations

import random

import emoji
import numpy as np
import scipy.sparse
import torch

from training.common import arguments, load_teacher, load_tokenizer, log, new_student, read_pairs, token_ids
from training.lexicon import read_lexicon

NEIGHBOURS = 8
LEXICON_WEIGHT = 4
TAUGHT = 6


def main() -> None:
    args = arguments("initialise", onto="")
    tokenizer = load_tokenizer(args.work)
    teacher = load_teacher()
    old = teacher.embeddings.word_embeddings.weight.detach().numpy()
    size = tokenizer.get_vocab_size()
    new = np.zeros((size, old.shape[1]), np.float32)
    new[: len(old)] = old
    met = np.zeros(size, bool)
    in_sentences = np.zeros(size, np.int64)
    for tag in ("ar", "he"):
        pairs = [p[:2] for p in read_pairs(args.data, tag, random.Random(args.seed))]
        in_sentences += np.bincount(np.concatenate(token_ids(tokenizer, [p[1] for p in pairs], 64)), minlength=size)
        # A word list names a word's meaning outright, where a sentence only surrounds it.
        pairs += LEXICON_WEIGHT * read_lexicon(args.work, tag)
        english = presence(token_ids(tokenizer, [p[0] for p in pairs], 64), size)
        other = presence(token_ids(tokenizer, [p[1] for p in pairs], 64), size)
        average_by_association(new, met, english, other, len(old))
    for text, index in tokenizer.get_vocab().items():
        if index >= len(old) and emoji.is_emoji(text):
            name = emoji.demojize(text).strip(":").replace("_", " ").replace("-", " ")
            new[index] = old[tokenizer.encode(name, add_special_tokens=False).ids].mean(0)
            met[index] = True
    lost = [i for i in range(len(old), size) if not met[i]]
    new[lost] = old.mean(0) + np.random.default_rng(args.seed).normal(0, 0.01, (len(lost), old.shape[1]))
    student = new_student(size)
    if args.onto:
        # What sentences have taught stays; a piece that they hardly showed takes what the word lists say now.
        state = torch.load(args.work / args.onto, map_location="cpu")
        kept = in_sentences >= TAUGHT
        kept[: len(old)] = True
        new[kept] = state["embeddings.word_embeddings.weight"].numpy()[kept]
    else:
        state = teacher.state_dict()
    state["embeddings.word_embeddings.weight"] = torch.from_numpy(new)
    student.load_state_dict(state)
    torch.save(student.state_dict(), args.work / "initial.pt")
    log(args, "initialise", pieces=size - len(old), met=int(met.sum()))


def presence(rows: list[np.ndarray], size: int) -> scipy.sparse.csc_matrix:
    """Which piece stands in which sentence: 0/1 [sentences, pieces]."""
    counts = [len(set(r[1:-1].tolist())) for r in rows]
    columns = [i for r in rows for i in set(r[1:-1].tolist())]
    lines = np.repeat(np.arange(len(rows)), counts)
    return scipy.sparse.csc_matrix((np.ones(len(columns), np.float32), (lines, columns)), (len(rows), size))


def average_by_association(
    new: np.ndarray, met: np.ndarray, english: scipy.sparse.csc_matrix, other: scipy.sparse.csc_matrix, first: int
) -> None:
    """Fill the rows from `first` on: weights are c^2 / (f_x f_e) over the strongest neighbours."""
    together = (other.T @ english).tocsr()
    f_other, f_english = np.asarray(other.sum(0)).ravel(), np.asarray(english.sum(0)).ravel()
    for piece in range(first, new.shape[0]):
        row = together.getrow(piece)
        if row.nnz == 0 or f_other[piece] < 2:
            continue
        weight = row.data**2 / (f_other[piece] * f_english[row.indices] ** 0.9)
        best = np.argsort(-weight)[:NEIGHBOURS]
        share = weight[best] / weight[best].sum()
        new[piece] = share @ new[row.indices[best]]
        met[piece] = True


if __name__ == "__main__":
    main()
