"""What a table of reports comes to: verdicts, distributions, cues, worst drafts; in all, by language and brand."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import regex
from jinja2 import Environment, PackageLoader, select_autoescape

from softanswer.bulk_tables import cues_of
from softanswer.domain import CHECKS

BINS = 10
_ACTIONS = ("publish", "revise", "hold")
_MAX_CUES = 10
_MAX_WORST = 20
_MAX_BRANDS = 20
# Each group takes some kilobytes, and a column of free text may be taken for brands.
_MAX_BRAND_GROUPS = 4096
_OTHER_BRANDS = "others"
_MAX_QUOTE = 240
_BLOCKS = "▁▂▃▄▅▆▇█"
# What would steer a terminal, or turn its lines round.
_CONTROL = regex.compile(r"[\p{Cc}\p{Cf}]")


@dataclass(frozen=True, slots=True, order=True)
class Worst:
    """A draft that reads badly; they sort by how badly: the verdict first, then the worst score."""

    action: int
    badness: float
    row: int
    text: str = field(compare=False)
    scores: Mapping[str, float] = field(compare=False)

    @property
    def verdict(self) -> str:
        return _ACTIONS[self.action]


@dataclass(slots=True)
class Group:
    """Counts over some of the drafts; `bins` holds ten a score, from 0 to 1."""

    total: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    cues: Counter[str] = field(default_factory=Counter)
    bins: dict[str, list[int]] = field(default_factory=lambda: {name: [0] * BINS for name in CHECKS})
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, report: Mapping[str, Any]) -> None:
        self.total += 1
        self.actions[report["verdict"]["action"]] += 1
        self.cues.update(cues_of(report))
        for name, score in report["scores"].items():
            self.bins[name][min(int(score["value"] * BINS), BINS - 1)] += 1
            self.sums[name] += score["value"]

    def mean(self, name: str) -> float | None:
        """The mean of a score, None where no draft has it."""
        count = sum(self.bins[name])
        return self.sums[name] / count if count else None

    @property
    def commonest(self) -> list[tuple[str, int]]:
        return self.cues.most_common(_MAX_CUES)


@dataclass(slots=True)
class Summary:
    """The counts of a run, taken up report by report."""

    whole: Group = field(default_factory=Group)
    languages: dict[str, Group] = field(default_factory=dict)
    brands: dict[str, Group] = field(default_factory=dict)
    _worst: list[Worst] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.whole.total

    @property
    def worst(self) -> list[Worst]:
        """The drafts that most want reading, the worst first; none that may go out."""
        return sorted(self._worst, reverse=True)

    def add(self, row: int, report: Mapping[str, Any], text: str, brand: str) -> None:
        """Count one report."""
        groups = [self.whole, self.languages.setdefault(report["language"]["tag"], Group())]
        if brand:
            groups.append(self._brand(brand))
        for group in groups:
            group.add(report)
        values = {name: score["value"] for name, score in report["scores"].items()}
        badness = max(values.get("defensiveness", 0), values.get("spam", 0), 1 - values.get("tone", 1))
        action = _ACTIONS.index(report["verdict"]["action"])
        if action:
            heapq.heappush(self._worst, Worst(action, badness, row, _shortened(text), values))
            if len(self._worst) > _MAX_WORST:
                heapq.heappop(self._worst)

    def _brand(self, name: str) -> Group:
        if name not in self.brands and len(self.brands) >= _MAX_BRAND_GROUPS:
            name = _OTHER_BRANDS
        return self.brands.setdefault(name, Group())

    def groups(self) -> Iterator[tuple[str, Group]]:
        """All drafts, then each language, then the brands with most drafts."""
        yield "all", self.whole
        yield from _largest(self.languages)
        yield from _largest(self.brands)[:_MAX_BRANDS]

    def as_html(self, source: str, bad: int) -> str:
        """Make one page that needs nothing else."""
        page = Environment(loader=PackageLoader("softanswer", "."), autoescape=select_autoescape())
        return page.get_template("bulk_summary.html").render(
            source=source, bad=bad, summary=self, checks=CHECKS, actions=_ACTIONS
        )

    def as_lines(self) -> Iterator[str]:
        """Make the same for a terminal, shorter."""
        for name, group in self.groups():
            counts = ", ".join(f"{group.actions[action]} {action}" for action in _ACTIONS)
            yield f"{_CONTROL.sub('', name)}: {group.total} drafts: {counts}"
            for check in CHECKS:
                mean = group.mean(check)
                if mean is not None:
                    yield f"  {check:14} {_bars(group.bins[check])}  mean {mean:.2f}"
            if group.cues:
                yield "  " + ", ".join(f"{cue} {count}" for cue, count in group.commonest[:3])
        for worst in self.worst[:5]:
            yield f"  row {worst.row}  {worst.verdict}  \u2068{_CONTROL.sub('', worst.text)[:80]}\u2069"


def _largest(groups: Mapping[str, Group]) -> list[tuple[str, Group]]:
    return sorted(groups.items(), key=lambda named: (-named[1].total, named[0]))


def _bars(bins: list[int]) -> str:
    """Draw the distribution of a score, from 0 to 1."""
    most = max(bins)
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] for count in bins)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_QUOTE else line[:_MAX_QUOTE] + "…"
