"""Linear heads for another encoder, fitted on its frozen vectors: a folder for `SOFTANSWER_MODEL`.

A frozen encoder judges manner less well than one that was trained with its heads. Relevance is
cosine and shared words alone: a bilinear form needs an encoder that learns with it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import regex
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from softanswer.app import build_pipeline
from softanswer.encoder.inputs import prepare
from softanswer.encoder.model import load_encoder, overlap
from softanswer.settings import Settings
from training.calibrate import calibrate
from training.rows import HEADS, Pair, Row, corpus_rows, held_out, message_rows, public_rows, relevance_pairs

Array = npt.NDArray[np.float32]

# A public set has no more rows than this, so that the corpus is not drowned.
ROWS_A_SET = 3000
DECAY = 1e-4
SEED = 7


def train_heads(encoder_name: str, out: Path, languages: Sequence[str], data: Path | None = None) -> None:
    """Fit and calibrate heads for a sentence-transformers model and write them to the folder `out`.

    `languages` are the tags that the encoder reads; `data` is a folder of public sets to learn
    from beside the corpus. Raises OSError where the encoder cannot be loaded.
    """
    encoder = load_encoder(encoder_name)
    rng = random.Random(SEED)
    rows = [r for r in corpus_rows() + message_rows() if not held_out(r.group)]
    if data:
        rows += [r for some in public_rows(data).values() for r in rng.sample(some, min(len(some), ROWS_A_SET))]
    rows = [r for r in rows if r.language in languages]
    weight, bias = fit(vectors(encoder, [r.text for r in rows]), targets(rows))
    arrays: dict[str, Array] = {"heads": weight, "biases": bias}
    pairs = [p for p in relevance_pairs(data) if p.language in languages and not held_out(p.group)]
    for relation in ("reply", "topic"):
        # Without public sets nothing is labelled by topic: closeness means there what it means for replies.
        some = [p for p in pairs if p.relation == relation] or [p for p in pairs if p.relation == "reply"]
        arrays |= relevance(encoder, relation, rng.sample(some, min(len(some), 2 * ROWS_A_SET)), weight.shape[0])
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "heads.npz", **arrays)
    about = {
        "names": HEADS, "name": regex.sub(r"\W+", "-", Path(encoder_name).name).strip("-"),
        "encoder": str(Path(encoder_name).resolve()) if Path(encoder_name).exists() else encoder_name,
        "languages": list(languages), "meaning_dims": weight.shape[0],
    }  # fmt: skip
    (out / "heads.json").write_text(json.dumps(about, indent=1), encoding="utf8")
    calibrate(build_pipeline(Settings(model=out)), {tag: out / "calibration" / tag for tag in languages}, data)


def vectors(encoder: Any, texts: list[str]) -> Array:
    """Encode visible texts as `Model.encode` does short ones: [n, dims], L2-normalised."""
    out = encoder.encode([prepare(t) for t in texts], normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(out, np.float32)


def targets(rows: list[Row]) -> Array:
    """Probabilities [n, heads] 0..1, NaN where a row says nothing."""
    out = np.full((len(rows), len(HEADS)), np.nan, np.float32)
    for i, r in enumerate(rows):
        for name, value in r.targets.items():
            out[i, HEADS.index(name)] = value
    return out


def fit(x: Array, y: Array) -> tuple[Array, Array]:
    """Logistic regression on soft targets, each column its own: weights [dims, heads], biases [heads]."""
    inputs, known = torch.from_numpy(x), torch.from_numpy(~np.isnan(y))
    goal = torch.from_numpy(np.nan_to_num(y))
    weight = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        each = binary_cross_entropy_with_logits(inputs @ weight + bias, goal, reduction="none") * known
        loss = (each.sum(0) / known.sum(0).clamp(min=1)).sum() + DECAY * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    return weight.detach().numpy(), bias.detach().numpy()


def relevance(encoder: Any, relation: str, pairs: list[Pair], dims: int) -> dict[str, Array]:
    """One relation's arrays as `Model.load` reads them, the bilinear form left at nothing."""
    drafts, others = vectors(encoder, [p.draft for p in pairs]), vectors(encoder, [p.other for p in pairs])
    x = np.stack([(drafts * others).sum(1), [overlap(p.draft, p.other) for p in pairs]], 1).astype(np.float32)
    weight, bias = fit(x, np.array([[p.target] for p in pairs], np.float32))
    return {
        f"{relation}.left": np.zeros((dims, 1), np.float32),
        f"{relation}.right": np.zeros((dims, 1), np.float32),
        f"{relation}.scalars": np.array([weight[0, 0], weight[1, 0], bias[0]], np.float32),
    }
