"""Steps 1 and 2 in one, from the weights that are bundled: int8 back to float32, to be trained on.

What an earlier run learned need not be learned again. Of a weight, int8 keeps all but a 250th of its range, which
training makes good in minutes; the teacher's vocabulary is cut to the student's.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from training import multilingual
from training.common import MEANING_DIMS, arguments, bert, log
from training.export import WEIGHTS
from training.relevance import TOPIC
from training.rows import HEADS
from training.tasks import SCALARS

ENCODER = WEIGHTS / "encoder"


def main() -> None:
    args = arguments("thaw")
    shutil.copy(ENCODER / "tokenizer.json", args.work)
    student = bert(state())
    torch.save(student.state_dict(), args.work / "thawed.pt")
    source = multilingual.read()
    pieces = [piece for piece, _ in json.loads((ENCODER / "tokenizer.json").read_text())["model"]["vocab"]]
    place = {piece: i for i, piece in enumerate(source.pieces)}
    words = source.state["embeddings.word_embeddings.weight"][[place[p] for p in pieces]]
    torch.save(source.state | {"embeddings.word_embeddings.weight": words}, args.work / "teacher.pt")
    arrays = dict(np.load(WEIGHTS / "heads.npz"))
    names = json.loads((WEIGHTS / "heads.json").read_text())["names"]
    order = [names.index(head) for head in HEADS]
    arrays |= {"heads": arrays["heads"][:, order], "biases": arrays["biases"][order]}
    topic = arrays["topic.scalars"]
    # Of replies the bundled ones know nothing of cosine: `relevance` took its place.
    arrays |= {"reply.scalars": np.array(SCALARS), "topic.scalars": topic[:3] - np.array([0, 0, TOPIC[1]])}
    np.savez(args.work / "thawed.npz", **arrays)
    log(args, "thaw", pieces=len(pieces))


def state() -> dict[str, torch.Tensor]:
    """The bundled encoder's weights by BertModel's names, float32."""
    graph = onnx.load(ENCODER / "model.int8.onnx").graph
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    found = {}
    for name, array in arrays.items():
        key = name.removeprefix("bert.").removesuffix("_quantized")
        if name.endswith("_quantized"):
            whole = name.removesuffix("_quantized")
            array = (array.astype(np.float32) - arrays[f"{whole}_zero_point"]) * arrays[f"{whole}_scale"]
        if key.endswith("_Transposed"):
            key, array = key.removesuffix("_Transposed"), array.T
        if name.startswith("bert.") and not name.endswith(("_scale", "_zero_point")):
            found[key] = torch.from_numpy(array.copy())
    # The one kind of token is added to the positions when the graph is made.
    found["embeddings.position_embeddings.weight"] = torch.from_numpy(arrays["positions"].copy())
    found["embeddings.token_type_embeddings.weight"] = torch.zeros(2, MEANING_DIMS)
    return found


if __name__ == "__main__":
    main()
