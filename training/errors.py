"""The held-out drafts that the service gets most wrong, for reading: python -m training.errors [--score spam]."""

from __future__ import annotations

from softanswer.app import build_pipeline
from softanswer.settings import Settings
from training.common import LANGUAGES, arguments, draft, read_corpus
from training.rows import group, held_out

LABEL = {"defensiveness": "def", "spam": "spam", "relevance": "rel"}


def main() -> None:
    args = arguments("errors", score="defensiveness", most=10)
    pipeline = build_pipeline(Settings())
    label = LABEL[args.score]
    for tag in LANGUAGES:
        rows = [r for r in read_corpus() if r["lang"] == tag and r.get(label) is not None and held_out(group(r))]
        reports = pipeline.run([draft(r) for r in rows])
        values = [next((s.value for s in report.scores if s.name == args.score), None) for report in reports]
        missed = [(abs(v - r[label] / 3), v, r) for v, r in zip(values, rows) if v is not None]
        print(f"\n{tag}: {len(missed)} drafts")
        for _, value, row in sorted(missed, key=lambda m: -m[0])[: args.most]:
            print(f"{row['id']} label {row[label]} scored {value:.2f}\n  to: {row['customer']}\n  {row['text']}")


if __name__ == "__main__":
    main()
