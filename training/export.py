"""Step 4: the student as int8 ONNX in a SentenceTransformer folder, the heads beside it."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch.nn.functional import gelu, normalize, softmax
from transformers import BertModel

from softanswer.encoder.inputs import prepare
from training.common import (
    ATTENTION_HEADS,
    LANGUAGES,
    MEANING_DIMS,
    arguments,
    load_student,
    load_tokenizer,
    log,
    read_corpus,
    token_ids,
)
from training.rows import HEADS

WEIGHTS = Path("service/softanswer/weights")


class OneText(torch.nn.Module):
    """The student on one text: ids [1, length] -> its two halves joined, [1, 768], and its tokens' states, [length - 2, 384].

    What serves reads one text at a time, so there is no mask and every shape but the length is known: of BertModel's
    own graph two operations in five keep the books of both, and a fifth of the time is theirs.
    """

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert
        embeddings = bert.embeddings
        kinds = embeddings.token_type_embeddings.weight[0]
        self.register_buffer("positions", (embeddings.position_embeddings.weight + kinds).detach())

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        words = self.bert.embeddings.word_embeddings(input_ids[0])
        hidden = self.bert.embeddings.LayerNorm(words + self.positions[: words.shape[0]])
        for layer in self.bert.encoder.layer:
            attend, after = layer.attention.self, layer.attention.output
            query, key, value = (
                part(hidden).reshape(-1, ATTENTION_HEADS, MEANING_DIMS // ATTENTION_HEADS).transpose(0, 1)
                for part in (attend.query, attend.key, attend.value)
            )
            weights = softmax(query @ key.transpose(1, 2) * (MEANING_DIMS // ATTENTION_HEADS) ** -0.5, -1)
            seen = (weights @ value).transpose(0, 1).reshape(-1, MEANING_DIMS)
            hidden = after.LayerNorm(after.dense(seen) + hidden)
            inner = gelu(layer.intermediate.dense(hidden))
            hidden = layer.output.LayerNorm(layer.output.dense(inner) + hidden)
        return torch.cat([normalize(hidden.mean(0, keepdim=True), dim=-1), hidden[:1]], -1), hidden[1:-1]


def main() -> None:
    args = arguments("export", checkpoint="averaged.pt")
    student = load_student(args.work, args.checkpoint).eval()
    student.embeddings.word_embeddings.sparse = False
    fresh = args.work / "weights"
    shutil.rmtree(fresh, ignore_errors=True)
    encoder = fresh / "encoder"
    encoder.mkdir(parents=True)
    whole = args.work / "model.onnx"
    to_onnx(student, whole)
    quantize_dynamic(whole, encoder / "model.int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
    tokenizer = load_tokenizer(args.work)
    tokenizer.save(str(encoder / "tokenizer.json"), pretty=False)
    (encoder / "modules.json").write_text(
        json.dumps([{"idx": 0, "name": "0", "path": "", "type": "softanswer.encoder.onnx.OnnxEncoder"}], indent=1)
    )
    (encoder / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": "cosine"}, indent=1))
    heads = dict(np.load((args.work / args.checkpoint).with_suffix(".npz")))
    np.savez_compressed(fresh / "heads.npz", **heads)
    about = {
        "names": HEADS,
        "name": "softanswer-mini",
        "encoder": "encoder",
        "languages": list(LANGUAGES),
        "meaning_dims": MEANING_DIMS,
    }
    (fresh / "heads.json").write_text(json.dumps(about, indent=1))
    size = sum(p.stat().st_size for p in encoder.iterdir()) / 1e6
    log(args, "export", megabytes=round(size, 1), **difference(whole, encoder / "model.int8.onnx", args, heads))
    for kept in ("README.md",):
        if (WEIGHTS / kept).exists():
            shutil.copy(WEIGHTS / kept, fresh / kept)
    old = WEIGHTS.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    if WEIGHTS.exists():
        WEIGHTS.rename(old)
    shutil.copytree(fresh, WEIGHTS)
    shutil.rmtree(old, ignore_errors=True)


def to_onnx(student: BertModel, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            OneText(student), (torch.tensor([[0, 7, 8, 2]]),), str(path), input_names=["input_ids"],
            output_names=["sentence_embedding", "token_embeddings"], opset_version=17, dynamo=False,
            dynamic_axes={"input_ids": {1: "length"}, "token_embeddings": {0: "tokens"}},
        )  # fmt: skip
    onnx.checker.check_model(str(path))


def difference(whole: Path, small: Path, args: object, heads: dict[str, np.ndarray]) -> dict[str, float]:
    """How far int8 is from float32, on corpus texts: mean difference of head probabilities, mean cosine."""
    texts = [prepare(r["text"]) for r in read_corpus()[::40]]
    rows = token_ids(load_tokenizer(args.work), texts, 128)  # type: ignore[attr-defined]
    out = []
    for path in (whole, small):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        out.append(np.concatenate([session.run(None, {"input_ids": row[None].astype(np.int64)})[0] for row in rows]))
    p, q = (1 / (1 + np.exp(-(v @ heads["heads"] + heads["biases"]))) for v in out)
    cosine = (out[0][:, :MEANING_DIMS] * out[1][:, :MEANING_DIMS]).sum(1).mean()
    return {"head_difference": round(float(np.abs(p - q).mean()), 4), "cosine": round(float(cosine), 4)}


if __name__ == "__main__":
    main()
