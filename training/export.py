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
from transformers import BertModel

from softanswer.encoder.inputs import prepare
from training.common import (
    LANGUAGES,
    MEANING_DIMS,
    arguments,
    encode,
    load_student,
    load_tokenizer,
    log,
    padded,
    read_corpus,
    token_ids,
)

WEIGHTS = Path("service/softanswer/weights")


class Joined(torch.nn.Module):
    """The student with its two halves joined: [n, 768]."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return torch.cat(encode(self.bert, input_ids, attention_mask), -1)


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
    heads = dict(np.load(args.work / "heads.npz"))
    about = json.loads((args.work / "heads.json").read_text())
    np.savez_compressed(fresh / "heads.npz", **heads)
    about |= {
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
    ids, mask = padded([np.array([0, 7, 2]), np.array([0, 7, 8, 2])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Joined(student), (ids, mask), str(path), input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"], opset_version=17, dynamo=False,
            dynamic_axes={n: {0: "batch", 1: "length"} for n in ("input_ids", "attention_mask")} | {"sentence_embedding": {0: "batch"}},
        )  # fmt: skip
    onnx.checker.check_model(str(path))


def difference(whole: Path, small: Path, args: object, heads: dict[str, np.ndarray]) -> dict[str, float]:
    """How far int8 is from float32, on corpus texts: mean difference of head probabilities, mean cosine."""
    texts = [prepare(r["text"]) for r in read_corpus()[::40]]
    rows = token_ids(load_tokenizer(args.work), texts, 128)  # type: ignore[attr-defined]
    out = []
    for path in (whole, small):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feeds = (padded([row]) for row in rows)
        out.append(
            np.concatenate(
                [session.run(None, {"input_ids": i.numpy(), "attention_mask": m.numpy()})[0] for i, m in feeds]
            )
        )
    p, q = (1 / (1 + np.exp(-(v @ heads["heads"] + heads["biases"]))) for v in out)
    cosine = (out[0][:, :MEANING_DIMS] * out[1][:, :MEANING_DIMS]).sum(1).mean()
    return {"head_difference": round(float(np.abs(p - q).mean()), 4), "cosine": round(float(cosine), 4)}


if __name__ == "__main__":
    main()
