"""The linter of the cue files: every cue is held to its own examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from softanswer import datafiles
from softanswer.cues.files import ROOT, LanguageData, load_languages
from softanswer.cues.matching import Matcher, all_foldings
from softanswer.domain import Cue, DataFault, Match


def check(root: Path = ROOT, only: str | None = None) -> list[str]:
    """List all faults of the language files, each as `path:line: message`; empty when all is well."""
    try:
        languages = load_languages(root)
        foldings = all_foldings(languages.values())
        faults = []
        for tag, language in languages.items():
            if only in (None, tag):
                faults += list(_check_language(root / tag, language, foldings))
        return faults
    except DataFault as fault:
        return str(fault).splitlines()


def _check_language(folder: Path, language: LanguageData, foldings: dict[str, str]) -> Iterator[str]:
    whole = Matcher(language, foldings)
    patterns = [
        replace(cue, id=_id(cue, n), any=(cue.any[n],), rewordings=())
        for cue in language.cues
        for n in range(len(cue.any))
    ]
    alone = Matcher(replace(language, cues=tuple(patterns)), foldings)
    for cue in language.cues:
        path = folder / f"{cue.score}.yaml"
        for needle, message in _check_cue(cue, whole, alone):
            line = datafiles.line_of(path, needle) if needle else datafiles.line_of(path, cue.id)
            yield f"{path}:{line}: {cue.id}: {message}"


def _check_cue(cue: Cue, whole: Matcher, alone: Matcher) -> Iterator[tuple[str, str]]:
    """Yield (a piece of the line at fault, what is wrong); `alone` has each pattern as a cue."""
    for example in cue.match:
        if not _found(whole, example, cue):
            yield example, f"is not found in its own match example {example!r}"
    for example in cue.no_match:
        if found := _found(whole, example, cue):
            phrase = example[found[0].span.start : found[0].span.end]
            yield example, f"is found in its no_match example {example!r} ({phrase!r})"
    shown = {match.cue.id for example in cue.match for match in alone.find(example, cue.kinds[0])}
    for n, pattern in enumerate(cue.any):
        if _id(cue, n) not in shown:
            yield pattern, f"no match example shows the pattern {pattern!r}"


def _id(cue: Cue, n: int) -> str:
    return f"{cue.id}#{n}"


def _found(matcher: Matcher, example: str, cue: Cue) -> list[Match]:
    return [match for match in matcher.find(example, cue.kinds[0]) if match.cue.id == cue.id]
