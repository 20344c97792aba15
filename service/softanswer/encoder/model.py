"""The encoder with the trained heads on top: texts -> vectors -> logits.

What a logit means for a score is decided by calibration, not here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import regex
from sentence_transformers import SentenceTransformer

from softanswer.domain import SoftanswerError
from softanswer.encoder import BUNDLED
from softanswer.encoder.inputs import HANDLE, LINK, prepare
from softanswer.encoder.onnx import OnnxEncoder

Vector = npt.NDArray[np.float32]
Relation = Literal["reply", "topic"]

# A text longer than the encoder reads at once is read in windows; eight hold some 6,000
# characters, and a draft that is longer has shown its manner by then.
_MAX_WINDOWS = 8
_WINDOW_CHARS = 600
# A token is a character or more, and a window holds more tokens than this for each of eight.
_WHOLE_CHARS = 200 * _MAX_WINDOWS
_CONTENT_WORD = regex.compile(r"\p{N}+|\p{L}{3,}")


class NoHeads(SoftanswerError):
    """A folder was named as the model and is none."""


@dataclass(frozen=True, slots=True)
class Relevance:
    """One relation between two vectors: a cosine, a learned bilinear form, shared words."""

    left: Vector
    right: Vector
    cosine: float
    overlap: float
    bias: float


@dataclass(frozen=True)
class Model:
    """An encoder and its heads. Immutable once loaded; safe to use after a fork.

    `meaning_dims` is how much of a vector, from its start, carries meaning and is compared by
    cosine; the rest carries manner. `languages` are the tags that it was trained to read.
    """

    encoder: SentenceTransformer
    heads: Vector
    biases: Vector
    names: tuple[str, ...]
    relations: Mapping[str, Relevance]
    languages: frozenset[str]
    meaning_dims: int
    version: str

    @classmethod
    def load(cls, folder: Path = BUNDLED) -> Model:
        """Load a folder with `heads.json`, `heads.npz` and, inside or by name, an encoder.

        Raises `NoHeads`, or OSError where the encoder is missing.
        """
        if not (folder / "heads.json").exists():
            raise NoHeads(f"{folder} holds no heads; `softanswer train-heads` makes such a folder.")
        about = json.loads((folder / "heads.json").read_text(encoding="utf8"))
        inside = folder / about["encoder"]
        encoder = load_encoder(str(inside) if inside.exists() else about["encoder"])
        with np.load(folder / "heads.npz") as arrays:
            relations = {
                name: Relevance(arrays[f"{name}.left"], arrays[f"{name}.right"], *map(float, arrays[f"{name}.scalars"]))
                for name in ("reply", "topic")
            }
            heads, biases = arrays["heads"], arrays["biases"]
        digest = hashlib.sha256((folder / "heads.npz").read_bytes()).hexdigest()[:8]
        return cls(
            encoder, heads, biases, tuple(about["names"]), relations,
            frozenset(about["languages"]), about["meaning_dims"], f"{about['name']}@{digest}",
        )  # fmt: skip

    def encode(self, texts: Sequence[str]) -> Vector:
        """Encode visible texts: float32 [n, dims]. Long texts are the mean of their windows."""
        windows = [self._cut(text)[:_MAX_WINDOWS] for text in texts]
        flat = [window for some in windows for window in some]
        vectors = self._encode(flat)
        out = np.empty((len(texts), vectors.shape[1]), np.float32)
        at = 0
        for i, some in enumerate(windows):
            out[i] = vectors[at : at + len(some)].mean(0)
            at += len(some)
        norms = np.linalg.norm(out[:, : self.meaning_dims], axis=1, keepdims=True)
        out[:, : self.meaning_dims] /= np.maximum(norms, 1e-9)
        return out

    def reads_whole(self, text: str) -> bool:
        """Whether `encode` reads all of a visible text."""
        return len(text) < _WHOLE_CHARS or len(self._cut(text)) <= _MAX_WINDOWS

    def _cut(self, text: str) -> list[str]:
        module = self.encoder[0]
        return (module.windows if isinstance(module, OnnxEncoder) else _windows)(prepare(text))

    def _encode(self, texts: list[str]) -> Vector:
        """Encode texts that fit."""
        module = self.encoder[0]
        if not isinstance(module, OnnxEncoder):
            return cast(Vector, self.encoder.encode(texts, show_progress_bar=False))
        # Straight to the module: SentenceTransformer.encode costs 0.3 ms of its own a call.
        return np.stack([module.vector(text) for text in texts])

    def read(self, vector: Vector) -> dict[str, float]:
        """Read a vector with every head: uncalibrated logits by name."""
        return dict(zip(self.names, (vector @ self.heads + self.biases).tolist(), strict=True))

    def relevance(self, relation: Relation, draft: Vector, other: Vector, shared: float) -> float:
        """The uncalibrated logit that a draft belongs to the other text.

        `shared` is `overlap` of the two texts, 0..1.
        """
        r = self.relations[relation]
        d = self.meaning_dims
        bilinear = float((draft @ r.left) @ (other @ r.right))
        return r.cosine * float(draft[:d] @ other[:d]) + bilinear + r.overlap * shared + r.bias


def load_encoder(name: str) -> SentenceTransformer:
    """Load a sentence-transformers model by name or folder. Raises OSError where there is none.

    Only the bundled folder may name a module of its own to run: ours.
    """
    ours = Path(name).resolve() == (BUNDLED / "encoder").resolve()
    return SentenceTransformer(name, device="cpu", trust_remote_code=ours)


def overlap(a: str, b: str) -> float:
    """How many word parts two texts have in common, 0..1: the cosine of their sets of three letters in a row.

    Parts and not words, since Arabic and Hebrew words carry their prepositions and pronouns with them.
    """
    return alike(parts(a), parts(b))


def alike(first: set[str], second: set[str]) -> float:
    """The cosine of two sets, 0..1."""
    return len(first & second) / (len(first) * len(second)) ** 0.5 if first and second else 0.0


def parts(text: str) -> set[str]:
    """The word parts of a text: three letters in a row."""
    words = _CONTENT_WORD.findall(HANDLE.sub(" ", LINK.sub(" ", text.lower())))
    return {word[i : i + 3] for word in words for i in range(max(len(word) - 2, 1))}


def _windows(prepared: str) -> list[str]:
    """Cut a text at spaces into pieces that hardly any encoder cuts again."""
    windows, start = [], 0
    while len(prepared) - start > _WINDOW_CHARS:
        space = prepared.rfind(" ", start + 1, start + _WINDOW_CHARS)
        end = space if space > start else start + _WINDOW_CHARS
        windows.append(prepared[start:end])
        start = end
    return [*windows, prepared[start:]]
