"""How good the hints are, on situations that training did not see: `openapi/hints.md`.

Shows ten drafts a language as an editor would see them, before and after, and measures false
hints on good drafts, hints on the sentence that carries the defence, and unanswered points.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from softanswer.app import build_pipeline
from softanswer.domain import Context, Draft, Report, Rewriting
from softanswer.pipeline import Pipeline
from softanswer.settings import Settings
from training.common import LANGUAGES, draft, read_corpus, read_jsonl
from training.rows import group, held_out

PAGE = Path(__file__).parents[1] / "openapi" / "hints.md"
MEASURE = Path(__file__).parent / "measure"
SHOWN = 10
HEAD = """# Hints, as an editor sees them

Made by `python -m training.hint_report` on {day}, from drafts of `training/corpus/` that training did not see. The
drafts are written for this project and labelled by `training/corpus/RUBRIC.md`.

| measured | English | Arabic | Hebrew |
|---|---|---|---|
"""


def main() -> None:
    pipeline = build_pipeline(Settings())
    rows = {
        tag: [r for r in read_corpus() if r["lang"] == tag and r["kind"] != "comment" and held_out(group(r))]
        for tag in LANGUAGES
    }
    table = [
        ("good drafts (no defence, warm, no spam) with a hint of medium severity or higher", false_hints),
        ("clearly defensive replies (2, 3) with a hint", hinted),
        ("of those with labelled sentences: a hint on the sentence that carries it", on_the_sentence),
        ("defensive replies and spam with an edit that gains", edited),
    ]
    lines = [
        f"| {what} | " + " | ".join(measure(pipeline, rows[tag]) for tag in LANGUAGES) + " |" for what, measure in table
    ]
    lines.append(
        "| "
        + " | ".join(["unanswered points named: right of those named / of all that are", *unanswered(pipeline)])
        + " |"
    )
    shown = [section(pipeline, tag, rows[tag]) for tag in LANGUAGES]
    PAGE.write_text(HEAD.format(day=date.today()) + "\n".join(lines) + "\n\n" + "\n".join(shown), encoding="utf8")


def share(part: int, whole: int) -> str:
    return f"{part / whole:.2f} ({part} of {whole})" if whole else "none"


def false_hints(pipeline: Pipeline, rows: list[dict[str, Any]]) -> str:
    good = [r for r in rows if r["def"] == 0 and r["warm"] >= 2 and r["spam"] == 0]
    reports = pipeline.run([draft(r) for r in good])
    return share(sum(any(h.severity != "low" for h in report.hints) for report in reports), len(good))


def hinted(pipeline: Pipeline, rows: list[dict[str, Any]]) -> str:
    bad = [r for r in rows if r["kind"] == "reply" and r["def"] >= 2]
    return share(sum(bool(report.hints) for report in pipeline.run([draft(r) for r in bad])), len(bad))


def on_the_sentence(pipeline: Pipeline, rows: list[dict[str, Any]]) -> str:
    """A hint is on a sentence where it points at words of it and not at the whole draft."""
    labelled = {r["id"]: r["carry"] for r in read_jsonl(MEASURE / "sentences.jsonl")}
    some = [r for r in rows if r["id"] in labelled]
    right = 0
    for r, report in zip(some, pipeline.run([draft(r) for r in some]), strict=True):
        text = report.analysis.text
        spans = [h.span for h in report.hints if h.span.start < h.span.end < len(text.visible) or h.span.start > 0]
        right += any(
            s.start < b.end and b.start < s.end
            for s in spans
            for b in text.sentences
            if text.slice(b) in labelled[r["id"]]
        )
    return share(right, len(some))


def edited(pipeline: Pipeline, rows: list[dict[str, Any]]) -> str:
    bad = [r for r in rows if r["def"] >= 2 or r["spam"] >= 2]
    reports = pipeline.run([draft(r) for r in bad])
    return share(sum(any(h.replacements for h in report.hints) for report in reports), len(bad))


def unanswered(pipeline: Pipeline) -> list[str]:
    out = []
    for tag in LANGUAGES:
        named = right = missing = 0
        for r in read_jsonl(MEASURE / "points.jsonl"):
            if r["lang"] == tag:
                (report,) = pipeline.run([Draft(r["reply"], context=Context(in_reply_to=r["message"]), gain=False)])
                told = [r["message"][s.start : s.end] for s in report.analysis.unanswered]
                named += len(told)
                right += sum(any(p in t or t in p for p in r["unanswered"]) for t in told)
                missing += sum(any(p in t or t in p for t in told) for p in r["unanswered"]) * 1j + len(r["unanswered"])
        out.append(f"{share(right, named)} / {share(int(missing.imag), int(missing.real))}")
    return out


def section(pipeline: Pipeline, tag: str, rows: list[dict[str, Any]]) -> str:
    """The first drafts of a language whose report has an edit, by several kinds of hint, then others."""
    chosen: list[tuple[dict[str, Any], Rewriting]] = []
    seen: dict[str, int] = {}
    for r in [r for r in rows if r["def"] >= 2 or r["spam"] >= 2]:
        rewriting = pipeline.rewrite(draft(r))
        first = rewriting.before.hints[0].cue if rewriting.before.hints else ""
        if first and seen.get(first, 0) < 2 and len(chosen) < SHOWN:
            seen[first] = seen.get(first, 0) + 1
            chosen.append((r, rewriting))
    name = pipeline.languages[tag].name
    return f"## {name}\n\n" + "\n".join(_shown(n, r, rewriting) for n, (r, rewriting) in enumerate(chosen, 1))


def _shown(number: int, row: dict[str, Any], rewriting: Rewriting) -> str:
    before, after = rewriting.before, rewriting.after
    lines = [f"### {number}. {_verdict(before)}", ""]
    if row["customer"]:
        lines += [f"> {_one_line(row['customer'])}", ""]
    lines += [f"Draft: {_one_line(row['text'])}", ""]
    for hint in before.hints:
        quote = _one_line(before.analysis.text.slice(hint.span))
        words = f" → «{hint.replacements[0].strip() or '∅'}»" if hint.replacements else ""
        gain = " ".join(f"{name} {change:+.2f}" for name, change in (hint.gain or {}).items() if abs(change) >= 0.005)
        lines.append(
            f"- {hint.severity}, `{hint.cue}`{f' «{quote}»' if quote else ''}{words}: {hint.message}{f' ({gain})' if gain else ''}"
        )
    if rewriting.edits:
        lines += ["", f"After: {_one_line(after.analysis.draft.text)} ({_verdict(after)})"]
    return "\n".join([*lines, ""])


def _verdict(report: Report) -> str:
    values = ", ".join(f"{s.name} {s.value:.2f}" for s in report.scores)
    return f"{report.verdict.action}: {values}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
