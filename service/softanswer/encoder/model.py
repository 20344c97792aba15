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
from threadpoolctl import threadpool_limits

from softanswer.domain import SoftanswerError
from softanswer.encoder import BUNDLED
from softanswer.encoder.inputs import HANDLE, LINK, prepare
from softanswer.encoder.onnx import OnnxEncoder

Vector = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int8]
Relation = Literal["reply", "topic"]

# A text longer than the encoder reads at once is read in windows; sixteen hold some 6,000
# characters, and a draft that is longer has shown its manner by then.
_MAX_WINDOWS = 16
_WINDOW_CHARS = 600
# A token is a character or more, and two windows in a row hold more than 120 tokens.
_WHOLE_CHARS = 60 * _MAX_WINDOWS
# So many windows' tokens are kept, some 240, to be met.
_MET_WINDOWS = 2
_NOTHING = np.zeros(0, np.float32)
_CONTENT_WORD = regex.compile(r"\p{N}+|\p{L}{3,}")


class NoHeads(SoftanswerError):
    """A folder was named as the model and is none."""


@dataclass(frozen=True, slots=True)
class Relevance:
    """One relation between two texts: a learned bilinear form, and weights of how alike they are in four ways."""

    left: Vector
    right: Vector
    cosine: float
    overlap: float
    bias: float
    draft_met: float = 0.0
    other_met: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What an encoder makes of a text: a vector, and one of each token of its beginning.

    `vector` is float32 [dims]; `tokens` int8 [n, meaning_dims], each what a token means beside the mean of all
    tokens, 127 long; `rarity` float32 [n], their shares of the text, 1 together. Of other than the bundled
    model there are none.
    """

    vector: Vector
    tokens: Tokens
    rarity: Vector

    @property
    def nbytes(self) -> int:
        return self.vector.nbytes + self.tokens.nbytes + self.rarity.nbytes


@dataclass(frozen=True)
class Model:
    """An encoder and its heads. Immutable once loaded; safe to use after a fork.

    `meaning_dims` is how much of a vector, from its start, carries meaning and is compared by
    cosine; the rest carries manner. `centre` is the mean state of all tokens, `rarity` each word piece's weight.
    `languages` are the tags that it was trained to read.
    """

    encoder: SentenceTransformer
    heads: Vector
    biases: Vector
    names: tuple[str, ...]
    relations: Mapping[str, Relevance]
    centre: Vector
    rarity: Vector
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
        # As many processes as cores do the work; matrices this small in several threads took a draft from 13 to 22 ms.
        threadpool_limits(1, user_api="blas")
        inside = folder / about["encoder"]
        encoder = load_encoder(str(inside) if inside.exists() else about["encoder"])
        with np.load(folder / "heads.npz") as arrays:
            relations = {
                name: Relevance(arrays[f"{name}.left"], arrays[f"{name}.right"], *map(float, arrays[f"{name}.scalars"]))
                for name in ("reply", "topic")
            }
            heads, biases = arrays["heads"], arrays["biases"]
            centre, rarity = (arrays.get(name, _NOTHING) for name in ("centre", "rarity"))
        digest = hashlib.sha256((folder / "heads.npz").read_bytes()).hexdigest()[:8]
        return cls(
            encoder, heads, biases, tuple(about["names"]), relations, centre, rarity,
            frozenset(about["languages"]), about["meaning_dims"], f"{about['name']}@{digest}",
        )  # fmt: skip

    def encode(self, texts: Sequence[str]) -> Vector:
        """Encode visible texts: float32 [n, dims]."""
        return np.stack([self.embed(text).vector for text in texts])

    def embed(self, text: str) -> Embedding:
        """Encode a visible text. A long one's vector is the mean of its windows', its tokens are the first two's."""
        windows = [self._embed(window) for window in self._cut(text)[:_MAX_WINDOWS]]
        vector = np.stack([window.vector for window in windows]).mean(0)
        vector[: self.meaning_dims] /= max(float(np.linalg.norm(vector[: self.meaning_dims])), 1e-9)
        met = windows[:_MET_WINDOWS]
        tokens, rarity = np.concatenate([w.tokens for w in met]), np.concatenate([w.rarity for w in met])
        return Embedding(vector, tokens, cast(Vector, rarity / len(met)))

    def reads_whole(self, text: str) -> bool:
        """Whether `encode` reads all of a visible text."""
        return len(text) < _WHOLE_CHARS or len(self._cut(text)) <= _MAX_WINDOWS

    def _cut(self, text: str) -> list[str]:
        module = self.encoder[0]
        return (module.windows if isinstance(module, OnnxEncoder) else _windows)(prepare(text))

    def _embed(self, text: str) -> Embedding:
        """Encode a text that fits."""
        module = self.encoder[0]
        if not isinstance(module, OnnxEncoder):
            vector = cast(Vector, self.encoder.encode(text, show_progress_bar=False))
            return Embedding(vector, np.zeros((0, 0), np.int8), _NOTHING)
        # Straight to the module: SentenceTransformer.encode costs 0.3 ms of its own a call.
        vector, states, ids = module.embed(text)
        if not len(self.centre):  # heads that were fitted by `train-heads`
            return Embedding(vector, np.zeros((0, 0), np.int8), _NOTHING)
        states = states - self.centre
        states *= 127 / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-9)
        rarity = self.rarity[ids]
        return Embedding(vector, np.rint(states).astype(np.int8), rarity / max(float(rarity.sum()), 1e-9))

    def read(self, vector: Vector) -> dict[str, float]:
        """Read a vector with every head: uncalibrated logits by name."""
        return dict(zip(self.names, (vector @ self.heads + self.biases).tolist(), strict=True))

    def relevance(self, relation: Relation, draft: Embedding, other: Embedding, texts: tuple[str, str]) -> float:
        """The uncalibrated logit that a draft belongs to the other text; `texts` are what was embedded."""
        r = self.relations[relation]
        shared = overlap(*texts) if r.overlap else 0.0
        d = self.meaning_dims
        cosine = float(draft.vector[:d] @ other.vector[:d])
        bilinear = float((draft.vector @ r.left) @ (other.vector @ r.right))
        draft_met, other_met = meeting(draft, other)
        weighed = r.cosine * cosine + r.overlap * shared + r.draft_met * draft_met + r.other_met * other_met
        return weighed + bilinear + r.bias


def load_encoder(name: str) -> SentenceTransformer:
    """Load a sentence-transformers model by name or folder. Raises OSError where there is none.

    Only the bundled folder may name a module of its own to run: ours.
    """
    ours = Path(name).resolve() == (BUNDLED / "encoder").resolve()
    return SentenceTransformer(name, device="cpu", trust_remote_code=ours)


def meeting(draft: Embedding, other: Embedding) -> tuple[float, float]:
    """How near to each token of either text the nearest of the other is: the mean cosine, each way, -1..1.

    What the mean of a text blurs, a part or a place, still meets itself (Khattab & Zaharia 2020, ColBERT); rare tokens
    count for more.
    """
    if not len(draft.tokens) or not len(other.tokens):
        return 0.0, 0.0
    cosines = draft.tokens.astype(np.float32) @ other.tokens.astype(np.float32).T / 127**2
    return float(cosines.max(1) @ draft.rarity), float(cosines.max(0) @ other.rarity)


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
