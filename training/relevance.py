"""Step 4, its end: what a reply's relevance is read from: cosine, shared word parts, and how specific the reply is.

Step 3 learns a bilinear form with the encoder, and that form knows the corpus's pairs by heart: on replies that
it has not seen, cosine and shared parts alone rank better. So it goes. What the reply tells alone (a template fits
any message) is a head, `specificity`. Both are fitted on the frozen encoder.
"""

from __future__ import annotations

import json

import numpy as np

from softanswer.encoder.model import Model, overlap
from training.common import MEANING_DIMS, arguments, log
from training.export import WEIGHTS
from training.heads import fit
from training.rows import corpus_rows, held_out, mixed, relevance_pairs

HEAD = "specificity"


def main() -> None:
    args = arguments("relevance")
    model = Model.load(WEIGHTS)
    rows = [r for r in corpus_rows() if HEAD in r.targets and not held_out(r.group)]
    pairs = mixed([p for p in relevance_pairs(None) if p.relation == "reply" and not held_out(p.group)], args.seed)
    texts = list(
        dict.fromkeys(t for some in ([r.text for r in rows], *((p.draft, p.other) for p in pairs)) for t in some)
    )
    vectors = dict(zip(texts, model.encode(texts), strict=True))
    head, bias = fit(np.stack([vectors[r.text] for r in rows]), np.array([[r.targets[HEAD]] for r in rows], np.float32))
    features = np.array(
        [
            (
                vectors[p.draft][:MEANING_DIMS] @ vectors[p.other][:MEANING_DIMS],
                overlap(p.draft, p.other),
                (vectors[p.draft] @ head + bias)[0],
            )
            for p in pairs
        ],
        np.float32,
    )
    slopes, shift = fit(features, np.array([[p.target] for p in pairs], np.float32))
    write(model, head, bias, np.array([slopes[0, 0], slopes[1, 0], shift[0]], np.float32))
    log(args, "relevance", rows=len(rows), pairs=len(pairs), slopes=[round(float(s), 2) for s in slopes[:, 0]])


def write(model: Model, head: np.ndarray, bias: np.ndarray, scalars: np.ndarray) -> None:
    about = json.loads((WEIGHTS / "heads.json").read_text())
    arrays = dict(np.load(WEIGHTS / "heads.npz"))
    names = [name for name in model.names if name != HEAD]
    kept = [model.names.index(name) for name in names]
    nothing = np.zeros((len(head), 1), np.float32)
    arrays |= {
        "heads": np.concatenate([model.heads[:, kept], head], 1), "biases": np.concatenate([model.biases[kept], bias]),
        "reply.left": nothing, "reply.right": nothing, "reply.scalars": scalars,
    }  # fmt: skip
    np.savez_compressed(WEIGHTS / "heads.npz", **arrays)
    (WEIGHTS / "heads.json").write_text(json.dumps(about | {"names": [*names, HEAD]}, indent=1))


if __name__ == "__main__":
    main()
