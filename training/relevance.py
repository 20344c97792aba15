"""Step 4, its end: what relevance is read from, fitted on the frozen encoder.

Of a reply it is how far the tokens of each side are met by the other's, rare ones above all, and how specific the reply
is: what it tells alone (a template fits any message) is a head, `specificity`. The weights are fitted on the situations
that step 3 did not see: of the others the encoder knows by heart which texts belong together, cosines most of all, and
without cosine and shared word parts the rest ranks better. A topic that a post is held against gains by its tokens too.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np

from softanswer.encoder.inputs import prepare
from softanswer.encoder.model import Model, meeting
from training.common import arguments, log, read_corpus
from training.export import WEIGHTS
from training.heads import fit
from training.rows import corpus_rows, held_out, mixed, relevance_pairs

HEAD = "specificity"
# One reply is taken to answer another message for so many that answer their own.
STRAY = 10
# What a topic's tokens add, beside what step 3 has fitted: their weight and what it takes from the bias.
TOPIC = (4.0, -1.2)


def main() -> None:
    args = arguments("relevance")
    model = Model.load(WEIGHTS)
    model = replace(model, **tokens(model))
    rows = [r for r in corpus_rows() if HEAD in r.targets and not held_out(r.group)]
    pairs = [p for p in relevance_pairs(None) if p.relation == "reply" and held_out(p.group)]
    pairs = mixed(pairs, STRAY, args.seed)
    head, bias = fit(model.encode([r.text for r in rows]), np.array([[r.targets[HEAD]] for r in rows], np.float32))
    embedded = {text: model.embed(text) for text in dict.fromkeys(text for p in pairs for text in (p.draft, p.other))}
    features = [
        (*meeting(embedded[p.draft], embedded[p.other]), (embedded[p.draft].vector @ head + bias)[0]) for p in pairs
    ]
    slopes, shift = fit(np.array(features, np.float32), np.array([[p.target] for p in pairs], np.float32))
    write(model, head, bias, np.array([0, 0, shift[0], *slopes[:2, 0]], np.float32))
    log(args, "relevance", rows=len(rows), pairs=len(pairs), slopes=[round(float(s), 2) for s in slopes[:, 0]])


def tokens(model: Model) -> dict[str, np.ndarray]:
    """What a token is read against: the mean state of all, [384], and how rare each piece is, in the corpus."""
    texts = [prepare(text) for r in read_corpus() for text in (r["text"], r["customer"]) if text]
    encoder = model.encoder[0]
    centre = np.concatenate([encoder.embed(text)[1] for text in texts[::40]]).mean(0)
    found = Counter(piece for text in encoder.tokenizer.encode_batch(texts) for piece in set(text.ids))
    pieces = range(encoder.tokenizer.get_vocab_size())
    rarity = [math.log((len(texts) + 1) / (found[piece] + 1)) for piece in pieces]
    return {"centre": centre, "rarity": np.array(rarity, np.float32)}


def write(model: Model, head: np.ndarray, bias: np.ndarray, scalars: np.ndarray) -> None:
    about = json.loads((WEIGHTS / "heads.json").read_text())
    arrays = dict(np.load(WEIGHTS / "heads.npz"))
    names = [name for name in model.names if name != HEAD]
    kept = [model.names.index(name) for name in names]
    nothing = np.zeros((len(head), 1), np.float32)
    weight, less = TOPIC
    cosine, shared, shift, *met = arrays["topic.scalars"]
    arrays |= {
        "heads": np.concatenate([model.heads[:, kept], head], 1), "biases": np.concatenate([model.biases[kept], bias]),
        "reply.left": nothing, "reply.right": nothing, "reply.scalars": scalars,
        "topic.scalars": np.array([cosine, shared, shift if met else shift + less, 0, weight], np.float32),
        "centre": model.centre, "rarity": model.rarity,
    }  # fmt: skip
    np.savez_compressed(WEIGHTS / "heads.npz", **arrays)
    (WEIGHTS / "heads.json").write_text(json.dumps(about | {"names": [*names, HEAD]}, indent=1))


if __name__ == "__main__":
    main()
